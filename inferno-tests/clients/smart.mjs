// SMART's own JavaScript client, npm fhirclient, in headless Chromium against a running server over TLS: a standalone launch and
// an EHR launch, with login, choice of patient, consent and refresh; axe-core looks at every page.
// usage: node smart.mjs BASE USER PASSWORD PICTURES    CHROMIUM names the browser
// The client `smart-js` is registered with http://localhost:4568/, as redirect and (with launch.html) as launch URI.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [base, user, password, pictures] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const library = fs.readFileSync(path.join(path.dirname(require.resolve('fhirclient/package.json')), 'build/fhir-client.min.js'));
const page = (script) => `<!doctype html><title>App</title><script src="/fhir-client.js"></script><script>${script}</script>`;
const asked = (scope, more) => `FHIR.oauth2.authorize({ clientId: 'smart-js', redirectUri: 'http://localhost:4568/',
  scope: '${scope}', pkceMode: 'required' ${more} })`;
const pages = {
  '/': page(`FHIR.oauth2.ready().then((client) => { window.client = client; document.title = 'ready'; },
    (error) => { document.title = 'failed ' + error.message; })`),
  '/standalone.html': page(asked('launch/patient openid fhirUser offline_access patient/*.rs', `, iss: '${base}'`)),
  '/launch.html': page(asked('launch openid fhirUser offline_access patient/*.rs', '')),
};
const app = http.createServer((request, response) => {
  const at = new URL(request.url, 'http://localhost').pathname;
  const body = at === '/fhir-client.js' ? library : pages[at];
  response.writeHead(body ? 200 : 404, { 'content-type': at.endsWith('.js') ? 'text/javascript' : 'text/html' });
  response.end(body);
}).listen(4568, 'localhost');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
// The certificate is one of `vesta dev-cert`; that it is right is checked elsewhere.
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 900, height: 1100 } });
const tab = await context.newPage();
const said = [];
tab.on('console', (message) => { if (message.type() === 'error') said.push(message.text()); });

async function looked(name, heading) {
  await tab.waitForSelector('h1');
  assert.equal(await tab.textContent('h1'), heading);
  await tab.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
  // Evaluated by the debugger: the page itself allows no script.
  await tab.evaluate(axe);
  const { violations } = await tab.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map((found) => `${found.id}: ${found.nodes.map((node) => node.html).join(' ')}`), [], name);
}

async function logIn(name) {
  await looked(name, 'Log in');
  await tab.fill('#username', user);
  await tab.fill('#password', password);
  await tab.click('button[type=submit]');
}

async function consent(name) {
  await looked(name, 'Allow access?');
  await tab.click('button[value=allow]');
  await tab.waitForFunction(() => /^(ready|failed)/.test(document.title), null, { timeout: 20000 });
  assert.equal(await tab.title(), 'ready', said.join('\n'));
}

// What an app does with what it got; then once more with a refreshed token.
async function used(patient, encounter) {
  const found = await tab.evaluate(async () => {
    const { client } = window;
    const name = async () => (await client.request(`Patient/${client.patient.id}`)).id;
    const before = client.state.tokenResponse.access_token;
    const first = await name();
    const user = (await client.request(client.getFhirUser())).resourceType;
    await client.refresh();
    const renewed = client.state.tokenResponse.access_token !== before;
    const others = await client.request('Patient').then((bundle) => (bundle.entry ?? []).map((entry) => entry.resource.id));
    return { first, second: await name(), user, renewed, others, encounter: client.encounter.id };
  });
  assert.deepEqual(found, {
    first: patient, second: patient, user: 'Practitioner', renewed: true, others: [patient], encounter: encounter ?? null,
  });
}

try {
  await tab.goto('http://localhost:4568/standalone.html');
  await logIn('login');
  await looked('patients', 'Choose a patient');
  await tab.fill('#q', 'Testperson');
  await tab.click('form.find button');
  await tab.click('text=Ann Testperson');
  await tab.click('.actions button');
  await consent('consent');
  await used('p1');

  // What was granted, on the user's own page; then the EHR launch from there.
  await tab.goto(`${base.replace(/\/fhir$/, '')}/auth/manage`);
  await looked('manage', 'Apps with access');
  await tab.click('text=Administration');
  await looked('admin', 'Administration');
  await tab.click('text=Register an app');
  await tab.fill('#id', 'made-here');
  await tab.fill('#name', 'Made Here');
  await tab.fill('#redirect_uris', 'http://localhost:4568/');
  await tab.fill('#scopes', 'launch/patient patient/*.rs');
  await tab.click('#how-secret');
  await looked('admin-form', 'Administration');
  await tab.click('text="Register"');
  await looked('admin-registered', 'Administration');
  assert.match(await tab.textContent('[role=status]'), /made-here is registered\. Its secret.*: \S{43}/);
  await tab.click('[aria-label="Remove Made Here"]');
  assert.equal(await tab.locator('text=Made Here').count(), 0);
  await tab.goto(`${base.replace(/\/fhir$/, '')}/auth/manage`);
  await tab.click('text=Open an app for a patient');
  await looked('apps', 'Open an app');
  await tab.click('text=SMART JS');
  await tab.click('text=Bob Otherman');
  await tab.click('.actions button');
  await looked('encounters', 'Choose an encounter');
  await tab.click('#encounter-0');
  await tab.click('.actions button');
  await consent('consent-ehr');
  await used('p2', 'e2');

  // A wrong password, and a user who says no.
  await context.clearCookies();
  await tab.goto('http://localhost:4568/standalone.html');
  await tab.waitForSelector('#username');
  await tab.fill('#username', user);
  await tab.fill('#password', 'not the password');
  await tab.click('button[type=submit]');
  await looked('login-failed', 'Log in');
  await logIn('login-again');
  await tab.click('text=Ann Testperson');
  await tab.click('.actions button');
  await tab.click('button[value=deny]');
  await tab.waitForFunction(() => document.title.startsWith('failed'));
  console.log('fhirclient: standalone and EHR launch, refresh, refusal; axe-core finds nothing');
} finally {
  await browser.close();
  app.close();
}
