// npm oidc-provider as the identity provider that people sign in with, in headless Chromium against a running server over TLS: an app's
// launch goes through it, by a linked account and by a claim that names a person; whoever refuses, or is nobody here, is told.
// usage: node upstream.mjs BASE PICTURES    CHROMIUM names the browser; without arguments, the provider alone
// The client `smart-js` is registered with http://localhost:4568/; the server has this provider as its upstream, with
// link_claim=oid and fhir_user_claim=extension_FhirUser, and the user `bea` is linked with `oid-bea`.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';
import Provider from 'oidc-provider';

const port = 4569;
// As Azure AD B2C: whoever logs in has an object id, and an attribute that its administrators made.
const people = { bea: { oid: 'oid-bea', name: 'Bea' }, cem: { oid: 'oid-cem', name: 'Cem', extension_FhirUser: 'Patient/p1' },
  dan: { oid: 'oid-dan', name: 'Dan' } };
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{ client_id: 'vesta', client_secret: 'a secret of the two', redirect_uris: [process.env.RETURN ?? 'https://127.0.0.1/'] }],
  claims: { openid: ['sub', 'oid', 'name', 'extension_FhirUser'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub: `sub-of-${sub}`, ...people[sub] }) }),
  cookies: { keys: ['not a secret'] },
});
const listening = provider.listen(port, 'localhost', () => console.log(`the provider listens at ${port}`));

if (process.argv.length > 2) {
  const [base, pictures] = process.argv.slice(2);
  const { chromium } = await import('playwright-core');
  const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const answers = [];
  const app = http.createServer((request, response) => {
    const { searchParams } = new URL(request.url, 'http://localhost');
    if (searchParams.has('state')) answers.push(searchParams);
    response.end('back at the app');
  }).listen(4568, 'localhost');
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
  const asked = new URLSearchParams({
    response_type: 'code', client_id: 'smart-js', redirect_uri: 'http://localhost:4568/', state: 'xyz', aud: base, nonce: 'of the app',
    scope: 'launch/patient openid fhirUser patient/*.rs', code_challenge_method: 'S256',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  });
  const issuer = base.replace(/\/fhir$/, '/auth');
  let tab;
  const looked = async (name, heading) => {
    await tab.waitForSelector(`h1:has-text("${heading}")`);
    await tab.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
    await tab.evaluate(axe);
    const { violations } = await tab.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map((found) => `${found.id}: ${found.nodes.map((node) => node.html).join(' ')}`), [], name);
  };
  // From the app to what comes after the provider.
  const signIn = async (name) => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    tab = await context.newPage();
    await tab.goto(`${issuer}/authorize?${asked}`);
    await looked('upstream-login', 'Log in');
    await tab.click('text=Sign in with Example Health');
    if (name === undefined) return tab.click('text=[ Cancel ]');
    await tab.fill('[name=login]', name);
    await tab.fill('[name=password]', 'any');
    await tab.click('[type=submit]');
    return tab.click('text=Continue');
  };
  const tokens = async () => {
    await looked('upstream-consent', 'Allow access?');
    await tab.click('button[value=allow]');
    await tab.waitForSelector('text=back at the app');
    const code = answers.pop().get('code');
    const form = { grant_type: 'authorization_code', code, redirect_uri: 'http://localhost:4568/', client_id: 'smart-js', code_verifier: verifier };
    return (await tab.context().request.post(`${issuer}/token`, { form })).json();
  };
  const claims = (token) => JSON.parse(Buffer.from(token.id_token.split('.')[1], 'base64url'));
  try {
    await signIn('bea');
    await looked('upstream-patients', 'Choose a patient');
    await tab.click('text=Bob Otherman');
    await tab.click('.actions button');
    const linked = await tokens();
    assert.deepEqual([linked.patient, claims(linked).fhirUser], ['p2', `${base}/Practitioner/dr`]);
    await signIn('cem');
    const named = await tokens();
    assert.deepEqual([named.patient, claims(named).fhirUser, claims(named).nonce], ['p1', `${base}/Patient/p1`, 'of the app']);
    assert.notEqual(claims(named).sub, 'sub-of-cem');
    await signIn('dan');
    await looked('upstream-nobody', 'Not signed in');
    assert.match(await tab.textContent('[role=alert]'), /Nobody here is linked with you: .* oid 'oid-dan'/);
    await signIn();
    await looked('upstream-cancelled', 'Not signed in');
    assert.match(await tab.textContent('[role=alert]'), /the identity provider refused: access_denied/);
    await tab.click('text=Back to the login page');
    await looked('upstream-back', 'Log in');
    console.log('oidc-provider: a linked account, a claim that names a person, nobody, a refusal; axe-core finds nothing');
  } finally {
    await browser.close();
    app.close();
    listening.close();
    listening.closeAllConnections();
  }
}
