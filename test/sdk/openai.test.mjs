// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The official OpenAI library for Node, unmodified, against `sotto proxy`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { stack, stop } from './stack.mjs';

let service, ai;

before(async () => {
  service = await stack();
  const { baseURL, apiKey } = await service.proxy();
  ai = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
});
after(stop);

const say = (content) => ({ model: 'test', messages: [{ role: 'user', content }] });

test('models', async () => {
  const ids = [];
  for await (const model of ai.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['test', 'test/other']);
  assert.equal((await ai.models.retrieve('test')).owned_by, 'testservice');
  assert.equal((await ai.models.retrieve('test/other')).id, 'test/other');
});

test('an answer in one piece', async () => {
  const { data, response } = await ai.chat.completions.create(say('say hello there')).withResponse();
  assert.equal(data.choices[0].message.content, 'hello there');
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.deepEqual(data.usage, { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 });
  assert.equal(data.x_unknown, 'kept');
  assert.match(data._request_id, /^req_/);
  const verdict = JSON.parse(response.headers.get('sotto-verdict'));
  assert.equal(verdict.state, 'demo');
  assert.match(verdict.node, /^[0-9a-f]{32}$/);
});

test('a streamed answer with usage', async () => {
  const stream = await ai.chat.completions.create({ ...say('count 300'), stream: true, stream_options: { include_usage: true } });
  let text = '', usage, finish, events = 0;
  for await (const chunk of stream) {
    events++;
    text += chunk.choices[0]?.delta?.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    if (chunk.usage) {
      assert.deepEqual(chunk.choices, []);
      usage = chunk.usage;
    }
  }
  assert.equal(text, Array.from({ length: 300 }, (_, i) => i + 1).join(' '));
  assert.equal(finish, 'stop');
  assert.equal(usage.completion_tokens, 300);
  assert.ok(events > 2, 'it came in pieces');
});

test('without include_usage there is none', async () => {
  const stream = await ai.chat.completions.create({ ...say('say hi'), stream: true });
  for await (const chunk of stream) assert.equal(chunk.usage ?? null, null);
});

test('reasoning deltas under their own name', async () => {
  const stream = await ai.chat.completions.create({ ...say('think'), stream: true });
  let reasoning = '', text = '';
  for await (const chunk of stream) {
    reasoning += chunk.choices[0]?.delta?.reasoning_content ?? '';
    text += chunk.choices[0]?.delta?.content ?? '';
  }
  assert.deepEqual([reasoning, text], ['let me see', 'done']);
});

const tools = [{
  type: 'function',
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
}];

test('tool calls', async () => {
  const whole = await ai.chat.completions.create({ ...say('tools'), tools });
  const call = whole.choices[0].message.tool_calls[0];
  assert.deepEqual([call.id, call.function.name, JSON.parse(call.function.arguments)], ['call_1', 'get_weather', { city: 'Lima' }]);
  assert.equal(whole.choices[0].finish_reason, 'tool_calls');
});

test('tool-call deltas, put together by the library', async () => {
  const runner = ai.chat.completions.stream({ ...say('tools'), tools });
  const deltas = [];
  runner.on('chunk', (chunk) => deltas.push(...(chunk.choices[0]?.delta?.tool_calls ?? [])));
  const message = await runner.finalMessage();
  assert.equal(message.tool_calls[0].id, 'call_1');
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: 'Lima' });
  assert.equal(deltas.length, 4, 'tool-call deltas are passed on one by one');
  assert.ok(deltas.every((d) => d.index === 0));
});

test('completions, embeddings and responses', async () => {
  const completion = await ai.completions.create({ model: 'test', prompt: 'x' });
  assert.equal(completion.choices[0].text, 'completed');
  const embedding = await ai.embeddings.create({ model: 'test', input: 'x', encoding_format: 'float' });
  assert.deepEqual(embedding.data[0].embedding, [0.25, -0.5, 1]);
  const response = await ai.responses.create({ model: 'test', input: 'x' });
  assert.equal(response.output_text, 'responded');
});

/** What the library throws. */
const error = (promise) => promise.then(() => assert.fail('it succeeded'), (e) => e);

test('errors have the classes that programs expect', async (t) => {
  await t.test('401', async () => {
    const e = await error(new OpenAI({ baseURL: ai.baseURL, apiKey: 'wrong', maxRetries: 0 }).models.list());
    assert.ok(e instanceof OpenAI.AuthenticationError);
    assert.equal(e.code, 'invalid_api_key');
  });
  await t.test('404, no such model', async () => {
    for (const stream of [false, true]) {
      const e = await error(ai.chat.completions.create({ ...say('x'), model: 'absent', stream }));
      assert.ok(e instanceof OpenAI.NotFoundError);
      assert.equal(e.code, 'model_not_found');
    }
  });
  await t.test('400', async () => {
    const e = await error(ai.chat.completions.create({ model: 'test', messages: [] }));
    assert.ok(e instanceof OpenAI.BadRequestError);
    assert.equal(e.param, 'messages');
    const long = await error(ai.chat.completions.create(say('too long')));
    assert.ok(long instanceof OpenAI.BadRequestError);
    assert.equal(long.code, 'context_length_exceeded');
  });
  await t.test('502, not verified: nothing is sent and nothing is tried again', async () => {
    const strict = await service.proxy([]);
    const before = await service.seen();
    const started = Date.now();
    const e = await error(new OpenAI({ baseURL: strict.baseURL, apiKey: strict.apiKey, maxRetries: 5 }).chat.completions.create(say('secret')));
    assert.ok(e instanceof OpenAI.InternalServerError);
    assert.deepEqual([e.status, e.type, e.code], [502, 'verification_failed', 'software_refused']);
    assert.equal(e.error.verdicts[0].state, 'failed');
    assert.ok(Date.now() - started < 5000, 'the library was told not to try again');
    assert.equal((await service.seen()).requests, before.requests);
  });
  await t.test('an answer that breaks off', async () => {
    let text = '';
    const e = await error((async () => {
      const stream = await ai.chat.completions.create({ ...say('break off'), stream: true });
      for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
    })());
    assert.ok(e instanceof OpenAI.APIError);
    assert.equal(text, 'only this');
  });
});

test('abort stops the engine', async () => {
  const before = await service.seen();
  const stream = await ai.chat.completions.create({ ...say('slow'), stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break; // the library aborts the request
  }
  const waiting = new AbortController();
  const pending = error(ai.chat.completions.create(say('wait'), { signal: waiting.signal }));
  while ((await service.seen()).requests < before.requests + 2) await sleep(10);
  waiting.abort();
  assert.ok((await pending) instanceof OpenAI.APIUserAbortError);
  for (let i = 0; ; i++) {
    if ((await service.seen()).cancelled === before.cancelled + 2) break;
    assert.ok(i < 300, 'the engine goes on');
    await sleep(10);
  }
});

test('many at once', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ai.chat.completions.create(say(`say number ${i}`))));
  assert.deepEqual(answers.map((a) => a.choices[0].message.content), Array.from({ length: 20 }, (_, i) => `number ${i}`));
});
