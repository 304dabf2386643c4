import { useCallback, useEffect, useRef, useState } from 'react';
import { useLive } from '.';
import type { Topic } from './connection';

export interface Fetched<T> {
  /** The newest answer; kept while it is fetched again. */
  data: T | null;
  /** Why the last try failed; null after a success. */
  error: unknown;
  loading: boolean;
  reload(): void;
}

interface State<T> {
  of: unknown;
  data: T | null;
  error: unknown;
}

/**
 * Fetches when `load` changes, on `reload` and on live events that `wanted` accepts. A change of
 * `load` abandons what runs; events while a fetch runs become one more fetch after it, so that
 * neither a storm of events nor a slow answer starves the page. Both functions must be stable.
 */
export function useFetched<T>(
  load: (signal: AbortSignal) => Promise<T>,
  wanted: (topic: Topic) => boolean,
): Fetched<T> {
  const [state, setState] = useState<State<T>>({ of: null, data: null, error: null });
  const runner = useRef<{ again(): void } | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    let running = false;
    let again = false;
    const run = async (): Promise<void> => {
      running = true;
      do {
        again = false;
        try {
          const data = await load(abort.signal);
          if (!abort.signal.aborted) setState({ of: load, data, error: null });
        } catch (error) {
          if (!abort.signal.aborted) {
            setState((s) => ({ of: load, data: s.of === load ? s.data : null, error }));
          }
        }
      } while (again && !abort.signal.aborted);
      running = false;
    };
    runner.current = {
      again: () => {
        again = true;
        if (!running) void run();
      },
    };
    void run();
    return () => abort.abort();
  }, [load]);
  const reload = useCallback(() => runner.current?.again(), []);
  useLive(wanted, reload);
  const present = state.of === load;
  return {
    data: present ? state.data : null,
    error: present ? state.error : null,
    loading: !present,
    reload,
  };
}
