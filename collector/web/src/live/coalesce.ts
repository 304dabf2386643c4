// Many events, few fetches.

export interface Timers {
  set(run: () => void, ms: number): unknown;
  clear(handle: unknown): void;
  now(): number;
}

export const realTimers: Timers = {
  set: (run, ms) => setTimeout(run, ms),
  clear: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
  now: () => performance.now(),
};

/**
 * Runs `run` at once for the first call and at most once per `everyMs` after that; calls in
 * between become one run at the end of the interval, so the last event is never missed.
 */
export function coalesce(
  run: () => void,
  everyMs: number,
  timers: Timers = realTimers,
): { call(): void; cancel(): void } {
  let last = Number.NEGATIVE_INFINITY;
  let waiting: unknown = null;
  const fire = () => {
    waiting = null;
    last = timers.now();
    run();
  };
  return {
    call() {
      if (waiting !== null) return;
      const wait = last + everyMs - timers.now();
      if (wait <= 0) fire();
      else waiting = timers.set(fire, wait);
    },
    cancel() {
      if (waiting !== null) timers.clear(waiting);
      waiting = null;
    },
  };
}
