// Does with npm's `openai` what applications do, and prints what came as JSON.
//
// node drive_openai.mjs FORBIDDEN LIMITED, beside picture.png, mask.png and holed.png, with OPENAI_BASE_URL and
// OPENAI_API_KEY: a word that is refused, and a key of one picture a minute.

import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const [forbidden, limited] = process.argv.slice(2);
const client = new OpenAI();
const once = new OpenAI({ maxRetries: 0 });
const asked = { prompt: "a red cube on a table", size: "256x256" };
const data = (name) => fs.readFileSync(`${name}.png`);
const chunked = (name) => fs.createReadStream(`${name}.png`); // no length, and application/octet-stream
const typed = (name) => toFile(data(name), `${name}.png`, { type: "image/png" });

function side(png) {
  if (png.toString("latin1", 1, 4) !== "PNG") throw new Error("not a PNG");
  return png.readUInt32BE(16);
}

async function sides(answer) {
  const found = [];
  for (const { url, b64_json } of answer.data) {
    const png = url ? await (await fetch(url)).arrayBuffer() : Buffer.from(b64_json, "base64"); // without a key
    found.push(side(Buffer.from(png)));
  }
  return found;
}

async function refusal(call) {
  try {
    await call();
    return { class: null };
  } catch (error) {
    const { status, code, param, type, requestID } = error;
    return { class: error.constructor.name, status, code, param, type, request_id: requestID };
  }
}

async function streamed() {
  const types = [];
  const events = await client.images.generate({ ...asked, stream: true, partial_images: 2 });
  for await (const event of events) types.push([event.type, side(Buffer.from(event.b64_json, "base64"))]);
  return types;
}

const slow = new OpenAI({ apiKey: limited, maxRetries: 0 });
await slow.images.generate(asked);
const saw = {
  url: await sides(await client.images.generate({ ...asked, model: "dall-e-2", n: 2 })),
  b64_json: await sides(await client.images.generate({ ...asked, response_format: "b64_json" })),
  edits: {
    chunked: await sides(await client.images.edit({ ...asked, image: chunked("picture"), mask: chunked("mask") })),
    typed: await sides(await client.images.edit({ ...asked, image: await typed("picture"), mask: await typed("mask") })),
    list: await sides(await client.images.edit({ ...asked, image: [await typed("holed")], n: 2 })),
  },
  variations: {
    chunked: await sides(await client.images.createVariation({ image: chunked("picture"), size: "512x512" })),
    typed: await sides(await client.images.createVariation({ image: await typed("picture"), size: "256x256", n: 2 })),
  },
  streamed: await streamed(),
  refused: {
    long_prompt: await refusal(() => once.images.generate({ prompt: "a".repeat(1001) })),
    n: await refusal(() => once.images.generate({ ...asked, n: 11 })),
    size: await refusal(() => once.images.generate({ ...asked, size: "300x300" })),
    content_policy: await refusal(() => once.images.generate({ prompt: `a ${forbidden}` })),
    wrong_key: await refusal(() => new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 }).images.generate(asked)),
    model_page: await refusal(() => once.models.retrieve("dall-e-9")),
    rate: await refusal(() => slow.images.generate(asked)),
  },
  models: (await client.models.list()).data.map(({ id }) => id),
};
console.log(JSON.stringify(saw));
