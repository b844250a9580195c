"""unclip's own client; needs picture.png and mask.png.

python examples/migrate/unclip_sync.py [BASE_URL] [KEY]
"""

import sys

from unclip.client import Client, Partial

PROMPT = "a red apple on a wooden table, 3D render"

with Client(*sys.argv[1:]) as client:  # else http://127.0.0.1:8000, and the key of UNCLIP_API_KEY
    for k, picture in enumerate(client.generate(PROMPT, n=2, size=512)):
        picture.save(f"drawn-{k}.png")

    client.edit("picture.png", PROMPT, mask="mask.png", size=256)[0].save("edited.png")
    client.vary("picture.png", size=256)[0].save("varied.png")

    for shown in client.stream(PROMPT, size=256):
        if isinstance(shown, Partial):
            print(f"a first look: {len(shown.data)} bytes")
        else:
            shown.save("streamed.png")

    kept = client.upload("picture.png")
    job = client.submit("variations", image=kept, n=2, size=256)  # returns at once
    job = client.wait(job.id, on_event=lambda event: print(event.name))
    for image in job.images:
        print(image.url)
