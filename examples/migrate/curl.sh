# curl with this server in place of OpenAI's; needs picture.png and mask.png.
#
# OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... bash examples/migrate/curl.sh
set -eu

curl --fail-with-body --silent --show-error "$OPENAI_BASE_URL/images/generations" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"model": "dall-e-2", "prompt": "a red apple on a wooden table, 3D render", "size": "512x512"}'

curl --fail-with-body --silent --show-error "$OPENAI_BASE_URL/images/edits" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -F image=@picture.png \
  -F mask=@mask.png \
  -F prompt="a red apple on a wooden table, 3D render" \
  -F size=256x256

curl --fail-with-body --silent --show-error "$OPENAI_BASE_URL/images/variations" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -F image=@picture.png \
  -F n=2 \
  -F size=256x256
