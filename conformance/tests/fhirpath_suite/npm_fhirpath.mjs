// Runs the cases of the suite through npm `fhirpath`, HL7's engine, and prints what each yields as one line of JSON:
// {"id", "items": [[type, value], ..]} or {"id", "error"}.
//
//   node npm_fhirpath.mjs INSTALL_DIR CASES.json INPUTS_DIR
//
// INSTALL_DIR holds node_modules/fhirpath (npm install in a folder with the package.json beside this file).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [install, cases, inputs] = process.argv.slice(2);
const require = createRequire(join(install, 'package.json'));
const fhirpath = require('fhirpath');
const r4 = require('fhirpath/fhir-context/r4');

const resources = new Map();
function resource(name) {
  if (!resources.has(name)) resources.set(name, JSON.parse(readFileSync(join(inputs, name), 'utf8')));
  return resources.get(name);
}

// Type and text of an item, as the suite writes them.
function shown(item) {
  const [full] = fhirpath.types([item]);
  if (item?.constructor?.name === 'TypeInfo') return ['TypeInfo', String(item)];
  let type = full.replace(/^(FHIR|System)\./, '');
  const value = item?.constructor?.name === 'ResourceNode' ? item.data : item;
  if (full.startsWith('System.') && type !== 'Quantity') type = type[0].toLowerCase() + type.slice(1);
  const text = value !== null && typeof value === 'object' && value.constructor === Object ? '' : String(value ?? '');
  if (type === 'date' || type === 'dateTime') return [type, text.startsWith('@') ? text : `@${text}`];
  if (type === 'time' && full.startsWith('System.')) return [type, text.startsWith('@T') ? text : `@T${text}`];
  return [type, text];
}

for (const test of JSON.parse(readFileSync(cases, 'utf8'))) {
  const input = resource((test.inputfile ?? 'patient-example.xml').replace('.xml', '.json'));
  const line = { id: `${test.group}/${test.name}` };
  const log = console.log;
  try {
    // trace() writes to the console.
    console.log = () => {};
    const environment = { resource: input, rootResource: input };
    const options = { resolveInternalTypes: false };
    line.items = fhirpath.evaluate(input, test.expression, environment, r4, options).map(shown);
  } catch (error) {
    line.error = String(error?.message ?? error).split('\n')[0];
  } finally {
    console.log = log;
  }
  console.log(JSON.stringify(line));
}
