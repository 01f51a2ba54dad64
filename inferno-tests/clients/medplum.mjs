// Medplum's own client, npm @medplum/core, pointed at a running server.
// usage: node medplum.mjs BASE
import assert from 'node:assert/strict';
import { MedplumClient } from '@medplum/core';

const base = new URL(process.argv[2]);
const client = new MedplumClient({
  baseUrl: `${base.origin}/`, fhirUrlPath: base.pathname.slice(1), cacheTime: 0, autoBatchTime: 0,
});
const mark = `medplum-${Date.now()}`;
const family = `Noether${mark.replace(/\D/g, '')}`;
const patient = (n) => ({
  resourceType: 'Patient',
  identifier: [{ system: 'urn:vesta:medplum', value: `${mark}-${n}` }],
  name: [{ family, given: ['Emmy'] }],
  birthDate: `1882-03-${String(n + 10)}`,
});
const refused = async (code, work) => {
  const error = await work().then(() => assert.fail(`expected ${code}`), (e) => e);
  assert.equal(error.outcome?.resourceType, 'OperationOutcome', String(error));
  assert.equal(error.outcome.issue[0].code, code);
};

// create, and not twice
const made = await client.createResource(patient(0));
assert.equal(made.meta.versionId, '1');
const query = `identifier=urn:vesta:medplum|${mark}-0`;
assert.equal((await client.createResourceIfNoneExist(patient(0), query)).id, made.id);
const other = await client.createResourceIfNoneExist(patient(1), `identifier=urn:vesta:medplum|${mark}-1`);
assert.notEqual(other.id, made.id);

// read, update, patch, history
assert.deepEqual(await client.readResource('Patient', made.id), made);
const updated = await client.updateResource({ ...made, gender: 'female' });
assert.equal(updated.meta.versionId, '2');
const patched = await client.patchResource('Patient', made.id, [
  { op: 'test', path: '/gender', value: 'female' }, { op: 'add', path: '/active', value: true },
]);
assert.equal(patched.active, true);
const history = await client.readHistory('Patient', made.id);
assert.deepEqual(history.entry.map((e) => e.resource.meta.versionId), ['3', '2', '1']);
assert.equal((await client.readVersion('Patient', made.id, '1')).gender, undefined);

// batch
const batch = await client.executeBatch({
  resourceType: 'Bundle', type: 'batch',
  entry: [
    ...Array.from({ length: 10 }, (_, n) => ({ resource: patient(n + 2), request: { method: 'POST', url: 'Patient' } })),
    { request: { method: 'GET', url: `Patient/${made.id}` } },
    { request: { method: 'GET', url: 'Patient/there-is-none' } },
  ],
});
assert.deepEqual(batch.entry.map((e) => e.response.status.slice(0, 3)), [...Array(10).fill('201'), '200', '404']);

// search: one, resources, a Bundle, its pages
const search = { family, _sort: 'birthdate' };
assert.equal((await client.searchOne('Patient', search)).id, made.id);
assert.equal((await client.searchResources('Patient', { ...search, _count: '50' })).length, 12);
const bundle = await client.search('Patient', { ...search, _total: 'accurate', _count: '5' });
assert.equal(bundle.total, 12);
const seen = [];
for await (const page of client.searchResourcePages('Patient', { ...search, _count: '5' })) {
  assert.ok(page.length <= 5);
  seen.push(...page.map((it) => it.birthDate));
}
assert.deepEqual(seen, Array.from({ length: 12 }, (_, n) => `1882-03-${String(n + 10)}`));

// GraphQL
const answer = await client.graphql(`{ Patient(id: "${made.id}") { id name { family } } }`);
assert.deepEqual(answer.data, { Patient: { id: made.id, name: [{ family }] } });

// refusals say why
await refused('invalid', () => client.search('Patient', { nothing: 'x' }));
await refused('not-found', () => client.readResource('Patient', 'there-is-none'));
await client.deleteResource('Patient', made.id);
await refused('deleted', () => client.readResource('Patient', made.id));

console.log('@medplum/core: passed');
