// Evaluations per second of npm `fhirpath`, by group, as one JSON object.
//
//   node npm_bench.mjs INSTALL_DIR BENCH.json
//
// BENCH.json: {seconds, resources: [..], groups: [[name, [[expression, number of resource], ..]], ..]}
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [install, input] = process.argv.slice(2);
const require = createRequire(join(install, 'package.json'));
const fhirpath = require('fhirpath');
const r4 = require('fhirpath/fhir-context/r4');
const { seconds, resources, groups } = JSON.parse(readFileSync(input, 'utf8'));

// trace() writes to the console.
console.log = () => {};
const options = { resolveInternalTypes: false };
const compiled = new Map();
function compile(text) {
  if (!compiled.has(text)) {
    try {
      compiled.set(text, fhirpath.compile(text, r4, options));
    } catch {
      compiled.set(text, null);
    }
  }
  return compiled.get(text);
}

const rates = {};
for (const [name, pairs] of groups) {
  const work = pairs.map(([text, number]) => [compile(text), resources[number]]).filter(([run]) => run);
  // Mixed, always alike, so that a part of them is a fair sample.
  let seed = 1;
  for (let i = work.length - 1; i > 0; i--) {
    seed = (seed * 48271) % 2147483647;
    const j = seed % (i + 1);
    [work[i], work[j]] = [work[j], work[i]];
  }
  // The time that the process has had the processor for, so that a busy machine changes little.
  const start = process.cpuUsage();
  const elapsed = () => {
    const used = process.cpuUsage(start);
    return (used.user + used.system) / 1e6;
  };
  let done = 0;
  do {
    for (const [run, resource] of work) {
      try {
        run(resource, { resource, rootResource: resource });
      } catch {
        // An evaluation that ends in an error is one too.
      }
      done++;
      // A full round can take minutes: then it is a part of one.
      if (done % 256 === 0 && elapsed() > seconds * 3) break;
    }
  } while (work.length && (done % 256 !== 0 || elapsed() < seconds));
  if (done) rates[name] = done / elapsed();
}
process.stdout.write(JSON.stringify(rates));
