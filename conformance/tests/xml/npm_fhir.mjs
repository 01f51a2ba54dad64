// Reads and writes resources with npm `fhir`. Takes lines of {"name", "xml", "json"} and prints a line of
// {"name", "json", "xml"} for each: the JSON that it makes of the XML, and the XML that it makes of the JSON; or "error".
//
//   node npm_fhir.mjs INSTALL_DIR INPUT
//
// INSTALL_DIR holds node_modules/fhir (npm install in a folder with the package.json beside this file).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [install, input] = process.argv.slice(2);
const { Fhir } = createRequire(join(install, 'package.json'))('fhir');
const fhir = new Fhir();

for (const line of readFileSync(input, 'utf8').split('\n')) {
  if (!line) continue;
  const { name, xml, json } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ name, json: fhir.xmlToJson(xml), xml: fhir.jsonToXml(json) }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: String(error.message) }));
  }
}
