// Driver of face-api and Human; peers.py starts it.
//
//     node node_peer.mjs face-api|human MODULES WORK RESULT.json
//     node node_peer.mjs face-api MODULES whole WORK RESULT.json
//
// WORK contains frames.rgb and faces.rgb with raw (height, width, 3) uint8 pictures, and sizes.json. Both packages use the
// WASM backend of TensorFlow.js with one thread, because the native backend is downloaded from outside the registry. With
// `whole`, each picture is one face, which is not searched for.

import { readFileSync, writeFileSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';

const [name, modules, ...rest] = process.argv.slice(2);
const [work, result] = rest.slice(-2);
const whole = rest[0] === 'whole';
const require = createRequire(join(modules, 'package.json'));
console.log = () => {}; // both libraries log there
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
wasm.setWasmPaths(join(modules, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
wasm.setThreadsCount(1);

const NAMES = { fearful: 'fear', disgusted: 'disgust', surprised: 'surprise' };

async function faceApi() {
  const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
  await tf.setBackend('wasm');
  await tf.ready();
  const models = join(modules, 'node_modules/@vladmandic/face-api/model');
  await faceapi.nets.tinyFaceDetector.loadFromDisk(models);
  await faceapi.nets.faceExpressionNet.loadFromDisk(models);
  const options = new faceapi.TinyFaceDetectorOptions();
  const read = async (tensor) => {
    if (whole) return [Object.entries(await faceapi.nets.faceExpressionNet.predictExpressions(tensor))];
    const found = await faceapi.detectAllFaces(tensor, options).withFaceExpressions();
    return found.map((face) => Object.entries(face.expressions));
  };
  return { version: faceapi.version?.faceapi ?? String(faceapi.version), read, single: read };
}

async function humanApi() {
  const { Human } = require(join(modules, 'node_modules/@vladmandic/human/dist/human.node-wasm.js'));
  // Its WASM build loads models by HTTP only.
  const folder = join(modules, 'node_modules/@vladmandic/human/models');
  const server = createServer((request, response) => response.end(readFileSync(join(folder, basename(request.url)))));
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const human = new Human({
    backend: 'wasm',
    wasmPath: join(modules, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'),
    modelBasePath: `http://127.0.0.1:${server.address().port}/`,
    filter: { enabled: false },
    face: { enabled: true, mesh: { enabled: false }, iris: { enabled: false }, description: { enabled: false },
      emotion: { enabled: true } },
    body: { enabled: false }, hand: { enabled: false }, object: { enabled: false }, gesture: { enabled: false },
    segmentation: { enabled: false },
  });
  await human.load();
  server.close();
  const read = async (tensor, config) => {
    const found = await human.detect(tensor, config);
    return found.face.map((face) => (face.emotion ?? []).map((each) => [each.emotion, each.score]));
  };
  // Without this, results of the previous picture are reused for similar ones.
  return { version: human.version, read, single: (tensor) => read(tensor, { cacheSensitivity: 0 }) };
}

function* pictures(kind) {
  const { count, height, width } = JSON.parse(readFileSync(join(work, 'sizes.json')))[kind];
  const file = openSync(join(work, `${kind}.rgb`), 'r');
  for (let index = 0; index < count; index++) {
    const data = new Uint8Array(height * width * 3);
    readSync(file, data, 0, data.length, index * data.length);
    yield { data, shape: [height, width, 3] };
  }
}

const best = (scores) => {
  if (!scores.length) return null;
  const [label] = scores.reduce((a, b) => (b[1] > a[1] ? b : a));
  return NAMES[label] ?? label;
};

const peer = await (name === 'human' ? humanApi() : faceApi());
const output = { version: peer.version, frame_ms: [], boxes: [], labels: [] };
for (const { data, shape } of pictures('frames')) {
  const started = process.cpuUsage();
  const tensor = tf.tensor3d(data, shape, 'int32');
  const found = await peer.read(tensor);
  tf.dispose(tensor);
  const { user, system } = process.cpuUsage(started); // microseconds
  output.frame_ms.push((user + system) / 1000);
  output.boxes.push(found.length);
}
for (const { data, shape } of pictures('faces')) {
  const tensor = tf.tensor3d(data, shape, 'int32');
  const found = await peer.single(tensor);
  tf.dispose(tensor);
  output.labels.push(found.length ? best(found[0]) : null);
}
writeFileSync(result, JSON.stringify(output));
