// One live connection to the collector for the whole console.
//
// `fetch` instead of EventSource: it shows the status of a refusal (an ended session is not worth
// a retry) and lets silence be noticed. The collector sends at least a comment every 15 s.

import { ApiError, learnClock, problem } from '../api';
import { realTimers, type Timers } from './coalesce';
import { StreamParser } from './sse';

export type LiveState = 'connecting' | 'connected' | 'reconnecting';

export interface Topic {
  /** `ticket`, `alarm`, `agent`, or `resync` when anything may have changed. */
  event: string;
  number?: string;
  id?: string;
}

export interface LiveOptions {
  onState(state: LiveState): void;
  onTopic(topic: Topic): void;
  onUnauthorised(): void;
  fetch?: typeof fetch;
  timers?: Timers;
  random?: () => number;
}

const SILENCE_MS = 40_000;
const FIRST_MS = 500;
const MAX_MS = 15_000;

/** The n-th delay (from 0): doubling, bounded, drawn between half of it and the whole. */
export function backoff(attempt: number, random: number): number {
  const whole = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return whole / 2 + (whole / 2) * random;
}

export function readTopic(event: string, data: string): Topic {
  const topic: Topic = { event };
  try {
    const fields = JSON.parse(data) as Record<string, unknown> | null;
    if (typeof fields?.number === 'string') topic.number = fields.number;
    if (typeof fields?.id === 'string') topic.id = fields.id;
  } catch {
    // The name alone already says what to fetch again.
  }
  return topic;
}

/** Keeps connecting until `stop()`. Every (re)connection says `resync`: events may have been missed. */
export class LiveConnection {
  private attempt = 0;
  private stopped = false;
  private abort: AbortController | null = null;
  private waiting: unknown = null;
  private silence: unknown = null;
  private readonly timers: Timers;

  constructor(private readonly options: LiveOptions) {
    this.timers = options.timers ?? realTimers;
  }

  start(): void {
    this.options.onState('connecting');
    void this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.timers.clear(this.waiting);
    this.timers.clear(this.silence);
    this.abort?.abort();
  }

  /** Tries at once instead of waiting for the back-off (the network is back, the page is seen again). */
  hurry(): void {
    if (this.stopped || this.waiting === null) return;
    this.timers.clear(this.waiting);
    this.waiting = null;
    void this.connect();
  }

  /** The network is gone: waiting for silence would only show old things as fresh. */
  cut(): void {
    this.abort?.abort();
  }

  private async connect(): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    this.waiting = null;
    try {
      await this.read(abort);
    } catch (error) {
      if (this.stopped) return;
      if (error instanceof ApiError && error.status === 401) {
        this.options.onUnauthorised();
        return;
      }
    } finally {
      this.timers.clear(this.silence);
    }
    if (!this.stopped) this.retry();
  }

  private async read(abort: AbortController): Promise<void> {
    const get = this.options.fetch ?? fetch;
    this.watchSilence(abort);
    const response = await get('/api/v1/events', {
      headers: { accept: 'text/event-stream' },
      credentials: 'same-origin',
      cache: 'no-store',
      signal: abort.signal,
    });
    if (!response.ok || !response.body) throw await problem(response);
    learnClock(response.headers.get('date'));
    this.attempt = 0;
    this.options.onState('connected');
    this.options.onTopic({ event: 'resync' });
    const parser = new StreamParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.stopped) return;
      this.watchSilence(abort);
      for (const { event, data } of parser.push(value)) {
        this.options.onTopic(readTopic(event, data));
      }
    }
  }

  private watchSilence(abort: AbortController): void {
    this.timers.clear(this.silence);
    this.silence = this.timers.set(() => abort.abort(), SILENCE_MS);
  }

  private retry(): void {
    this.abort?.abort();
    this.options.onState('reconnecting');
    // Without a live line the pages still look again, as often as the line is tried.
    if (this.attempt > 0) this.options.onTopic({ event: 'resync' });
    const delay = backoff(this.attempt, (this.options.random ?? Math.random)());
    this.attempt += 1;
    this.waiting = this.timers.set(() => void this.connect(), delay);
  }
}
