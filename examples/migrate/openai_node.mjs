// npm's `openai` with this server in place of OpenAI's; needs picture.png and mask.png.
//
// OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... node examples/migrate/openai_node.mjs

import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI(); // takes OPENAI_BASE_URL and OPENAI_API_KEY
const prompt = "a red apple on a wooden table, 3D render";

const drawn = await client.images.generate({ model: "dall-e-2", prompt, size: "512x512" });
const answer = await fetch(drawn.data[0].url); // the link opens without a key, for 60 minutes
fs.writeFileSync("drawn.png", Buffer.from(await answer.arrayBuffer()));

const edited = await client.images.edit({
  model: "dall-e-2",
  image: fs.createReadStream("picture.png"),
  mask: fs.createReadStream("mask.png"), // alpha 0 is the hole
  prompt,
  size: "256x256",
  response_format: "b64_json",
});
fs.writeFileSync("edited.png", Buffer.from(edited.data[0].b64_json, "base64"));

const varied = await client.images.createVariation({
  image: fs.createReadStream("picture.png"),
  size: "256x256",
  response_format: "b64_json",
});
fs.writeFileSync("varied.png", Buffer.from(varied.data[0].b64_json, "base64"));
