// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A model server whose every word and pause a test decides: OpenAI's API over
// real HTTP. What it answers is chosen by words in the last user message.

import { createServer } from 'node:http';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A long answer of numbered words, so that a missing, doubled or moved one shows. */
export const words = (n) => Array.from({ length: n }, (_, i) => `word${i}`).join(' ');

const markdown = [
  '## A heading', '', 'A paragraph with **bold**, `code`, and $a^2 + b^2 = c^2$.', '',
  '| planet | moons |', '|---|---|', '| Mars | 2 |', '| Jupiter | 95 |', '',
  '```go', 'func main() {', '\tprintln("hello")', '}', '```', '', '- [x] done', '- [ ] not yet', '',
  '$$\\int_0^1 x\\,dx = \\tfrac12$$', '', '<img src=x onerror="window.hacked=1"> and [a link](javascript:alert(1))', '',
].join('\n');

/**
 * Starts it on a free loopback port: { url, requests, release(), close() }.
 * Each entry of requests is { body, aborted, done }. An answer that is held stops
 * in its middle until release(), so that no test depends on how fast it is.
 */
export async function upstream() {
  const requests = [];
  let open = () => {};
  let gate;
  const shut = () => {
    gate = new Promise((resolve) => {
      open = resolve;
    });
  };
  shut();
  const server = createServer(async (req, res) => {
    if (req.url.endsWith('/models')) {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({
        object: 'list',
        data: [
          { id: 'scripted-a', object: 'model', created: 1, owned_by: 'test' },
          { id: 'scripted-b', object: 'model', created: 1, owned_by: 'test' },
        ],
      }));
      return;
    }
    let text = '';
    for await (const chunk of req) text += chunk;
    const body = JSON.parse(text);
    const entry = { body, aborted: false, done: false };
    requests.push(entry);
    const held = gate; // a release counts for whatever was asked before it, held already or not yet
    const closed = new Promise((resolve) => res.on('close', resolve));
    void closed.then(() => {
      entry.aborted = !res.writableFinished;
    });
    const last = body.messages.at(-1).content;
    const [answer, pause, holdAfter = Infinity] = script(last);
    let sent = 0;
    if (answer === null) {
      res.statusCode = 503;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ error: { message: 'the model is being loaded', type: 'server_error', code: 503 } }));
      return;
    }
    if (!body.stream) {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({
        id: 'c', object: 'chat.completion', created: 1, model: body.model,
        choices: [{ index: 0, message: { role: 'assistant', content: answer }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      }));
      return;
    }
    res.setHeader('content-type', 'text/event-stream');
    const send = (delta, finish = null) =>
      res.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: body.model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
    send({ role: 'assistant', content: '' });
    for (const piece of answer.match(/\S+\s*|\s+/g) ?? []) {
      if (res.destroyed) return;
      send({ content: piece });
      if (pause) await sleep(pause);
      if (++sent === holdAfter) await Promise.race([held, closed]);
    }
    send({}, 'stop');
    res.write('data: [DONE]\n\n');
    entry.done = true;
    res.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    /** Lets every answer that is held go on. */
    release: () => {
      open();
      shut();
    },
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}

/** What to answer, how many milliseconds to wait after each word, and after how many words to hold it. */
function script(last) {
  if (/title/i.test(last)) return ['Scripted talk', 0];
  if (last.includes('[held]')) return [words(200), 5, 60];
  if (last.includes('[markdown]')) return [markdown, 5];
  if (last.includes('[down]')) return [null, 0];
  return [`You said: ${last}`, 5];
}
