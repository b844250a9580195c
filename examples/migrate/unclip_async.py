"""unclip's own client for asyncio: two requests at once, which the server draws together.

python examples/migrate/unclip_async.py [BASE_URL] [KEY]
"""

import asyncio
import sys

from unclip.client import AsyncClient


async def main() -> None:
    async with AsyncClient(*sys.argv[1:]) as client:
        apple, lemon = await asyncio.gather(
            client.generate("a red apple on a wooden table, 3D render", size=256),
            client.generate("a lemon in a meadow, 3D render", size=256),
        )
        apple[0].save("apple.png")
        lemon[0].save("lemon.png")


asyncio.run(main())
