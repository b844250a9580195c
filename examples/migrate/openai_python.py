"""The `openai` package with this server in place of OpenAI's; needs picture.png and mask.png.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... python examples/migrate/openai_python.py
"""

import base64
from pathlib import Path
from urllib.request import urlretrieve

from openai import OpenAI

client = OpenAI()  # takes OPENAI_BASE_URL and OPENAI_API_KEY
PROMPT = "a red apple on a wooden table, 3D render"

drawn = client.images.generate(model="dall-e-2", prompt=PROMPT, n=2, size="512x512")
for k, image in enumerate(drawn.data):
    urlretrieve(image.url, f"drawn-{k}.png")  # the link opens without a key, for 60 minutes

edited = client.images.edit(
    model="dall-e-2",
    image=Path("picture.png"),
    mask=Path("mask.png"),  # alpha 0 is the hole
    prompt=PROMPT,
    size="256x256",
    response_format="b64_json",
)
Path("edited.png").write_bytes(base64.b64decode(edited.data[0].b64_json))

varied = client.images.create_variation(image=Path("picture.png"), size="256x256")
urlretrieve(varied.data[0].url, "varied.png")

for event in client.images.generate(prompt=PROMPT, size="256x256", stream=True, partial_images=2):
    Path(f"{event.type}.png").write_bytes(base64.b64decode(event.b64_json))
