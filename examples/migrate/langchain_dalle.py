"""LangChain's wrapper of DALL-E with this server in place of OpenAI's.

OPENAI_API_BASE=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... python examples/migrate/langchain_dalle.py
"""

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

dalle = DallEAPIWrapper(size="256x256")  # takes OPENAI_API_BASE and OPENAI_API_KEY
print(dalle.run("a red apple on a wooden table, 3D render"))  # a link that opens without a key
