// Made-up tickets in memory for working on the console without a collector: `npm run dev:fixture`.
// Log in as admin with the password `one-time`. Never part of what is built.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import type { Agent, Device, Me, Ticket, TicketPage, TicketState } from '../src/api';
import { agents, bundle, devices, ticketPage } from './data.ts';

const ALLOWED: Partial<Record<TicketState, TicketState[]>> = {
  recorded: ['in_diagnosis'],
  in_diagnosis: ['resolved'],
  resolved: ['closed', 'in_diagnosis'],
  closed: ['in_diagnosis'],
};

const NEEDED: Partial<Record<TicketState, TicketState[]>> = {
  recorded: [],
  in_diagnosis: ['resolved'],
  resolved: ['in_diagnosis'],
  closed: ['in_diagnosis'],
};

class World {
  me: Me = {
    user: { name: 'admin', display_name: 'Admin', role: 'administrator', language: 'zh-CN', must_change_password: true },
    csrf: 'made-up',
  };
  password = 'one-time';
  loggedIn = false;
  pages: TicketPage[] = Array.from({ length: 34 }, (_, i) => ticketPage(34 - i));
  agents: Agent[] = agents();
  devices: Device[] = devices();
  streams = new Set<ServerResponse>();

  tell(event: string, data: object): void {
    for (const stream of this.streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  fault(): void {
    const page = ticketPage(this.pages.length + 1, true);
    this.pages.unshift(page);
    this.tell('ticket', { number: page.ticket.number, at: page.ticket.opened_at });
  }

  change(page: TicketPage, part: Partial<Ticket>, what: string, detail: object): void {
    const at = new Date().toISOString();
    Object.assign(page.ticket, part, { version: page.ticket.version + 1, updated_at: at });
    page.allowed = ALLOWED[page.ticket.state] ?? [];
    page.comment_required = NEEDED[page.ticket.state] ?? [];
    page.timeline.push({ id: `change-${page.timeline.length}`, at, who: 'user:admin', what, detail });
    this.tell('ticket', { number: page.ticket.number, at });
  }
}

export function fixture(): Plugin {
  return {
    name: 'callhome-fixture',
    configureServer(server) {
      const world = new World();
      server.middlewares.use('/api/v1', (request, response) => {
        void body(request).then((sent) => answer(world, request, response, sent));
      });
    },
  };
}

async function body(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(value === null ? '' : JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string): void {
  send(response, status, { error: { code, message: code } });
}

function answer(world: World, request: IncomingMessage, response: ServerResponse, sent: Record<string, unknown>): void {
  const url = new URL(request.url ?? '/', 'http://fixture');
  const path = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (path[0] === 'login') {
    if (request.method === 'GET') return send(response, 200, { password: 'all' });
    if (sent.password !== world.password) return refuse(response, 401, 'wrong_password');
    world.loggedIn = true;
    return send(response, 200, world.me);
  }
  if (path[0] === 'fault') {
    world.fault();
    return send(response, 200, {});
  }
  if (!world.loggedIn) return refuse(response, 401, 'unauthorized');
  if (path[0] === 'events') return events(world, request, response);
  if (path[0] === 'tickets') return tickets(world, response, path, url.searchParams, sent);
  person(world, response, path, sent);
}

function person(world: World, response: ServerResponse, path: string[], sent: Record<string, unknown>): void {
  switch (path.join('/')) {
    case 'logout':
      world.loggedIn = false;
      return send(response, 204, null);
    case 'me':
      return send(response, 200, world.me);
    case 'me/password':
      if (sent.old !== world.password) return refuse(response, 403, 'wrong_password');
      world.password = String(sent.new);
      world.me.user.must_change_password = false;
      return send(response, 204, null);
    case 'me/language':
      world.me.user.language = sent.language as Me['user']['language'];
      return send(response, 204, null);
    case 'people':
    case 'views':
      return send(response, 200, []);
    case 'agents':
      return send(response, 200, world.agents);
    case 'devices':
      return send(response, 200, world.devices);
    case 'alarms':
      return send(response, 200, { items: world.pages.slice(0, 3).flatMap((p) => p.alarms), next: null });
  }
  const agent = world.agents.find((a) => path[0] === 'agents' && a.id === path[1]);
  if (!agent) return refuse(response, 404, 'not_found');
  send(response, 200, {
    agent,
    losses: [
      { source: 'sw-1-console', from_at: agent.last_seen_at, to_at: agent.last_seen_at, reason: 'agent-down', count: null, received_at: agent.last_seen_at },
    ],
    rejects: [
      { seq: '17', envelope_id: 'e-1', reason: 'bad-payload', text: 'device.id is empty', received_at: agent.last_seen_at },
    ],
    streams: [{ epoch: '0198e7a2-6d1c-7f60-9c11-2f3ad2a10c77', lane: 'alarm', acked_seq: '4711', updated_at: agent.last_seen_at }],
    bundles: path[1] === 'agent-sh-01' ? [bundle('T-000003', agent.last_seen_at ?? '', false)] : [],
    balance: [
      {
        lane: 'alarm',
        made: 4713,
        committed: 4700,
        rejected: 1,
        passed: 11,
        missing: 0,
        on_the_way: 2,
        verdict: 'closes',
        agent: { made: 4713, acked: 4700, folded: 11, evicted: 0, depth: 2 },
      },
    ],
  });
}

function tickets(
  world: World,
  response: ServerResponse,
  path: string[],
  search: URLSearchParams,
  sent: Record<string, unknown>,
): void {
  if (path.length === 1) return list(world, response, search);
  const page = world.pages.find((p) => p.ticket.number === path[1]);
  if (!page) return refuse(response, 404, 'not_found');
  if (path[2] === 'clocks') {
    const nothing = { plan: null, plan_version: null, title: null, time_zone: null, calendar: null };
    return send(response, 200, { ...nothing, clocks: [], startable: [] });
  }
  if (path[2] === 'comments') {
    world.change(page, {}, 'comment', { text: sent.text });
    return send(response, 200, {});
  }
  if (path[2] === 'transitions') {
    if (sent.version !== page.ticket.version) return refuse(response, 409, 'version_conflict');
    const to = sent.to as TicketState;
    world.change(page, { state: to, assignee: 'admin' }, 'state', { from: page.ticket.state, to, comment: sent.comment });
    return send(response, 200, {});
  }
  send(response, 200, page);
}

function list(world: World, response: ServerResponse, search: URLSearchParams): void {
  const state = search.get('state') ?? 'open';
  const q = (search.get('q') ?? '').toLowerCase();
  const severity = search.get('severity');
  const all = world.pages
    .map((p) => p.ticket)
    .filter((t) => state === 'all' || (state === 'open' ? t.state !== 'closed' : t.state === state))
    .filter((t) => !severity || t.severity === severity)
    .filter((t) => search.get('test') !== '0' || !t.test)
    .filter((t) => JSON.stringify(t).toLowerCase().includes(q));
  const limit = Number(search.get('limit') ?? 50);
  const from = Number(search.get('before') ?? 0);
  const items = all.slice(from, from + limit);
  send(response, 200, { items, due: [], next: from + limit < all.length ? String(from + limit) : null });
}

function events(world: World, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': here\n\n');
  world.streams.add(response);
  const comment = setInterval(() => response.write(':\n\n'), 15_000);
  request.on('close', () => {
    clearInterval(comment);
    world.streams.delete(response);
  });
}
