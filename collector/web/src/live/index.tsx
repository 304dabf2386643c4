import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { coalesce } from './coalesce';
import { LiveConnection, type LiveState, type Topic } from './connection';

type Subscriber = (topic: Topic) => void;

interface Live {
  state: LiveState;
  subscribe(subscriber: Subscriber): () => void;
}

const Context = createContext<Live>({ state: 'connecting', subscribe: () => () => undefined });

interface Props {
  onUnauthorised: () => void;
  children: ReactNode;
}

export function LiveProvider({ onUnauthorised, children }: Props) {
  const [state, setState] = useState<LiveState>('connecting');
  const [subscribers] = useState(() => new Set<Subscriber>());
  useEffect(() => {
    const connection = new LiveConnection({
      onState: setState,
      onTopic: (topic) => subscribers.forEach((tell) => tell(topic)),
      onUnauthorised,
    });
    connection.start();
    const hurry = () => {
      if (document.visibilityState === 'visible') connection.hurry();
    };
    const cut = () => connection.cut();
    window.addEventListener('online', hurry);
    window.addEventListener('offline', cut);
    document.addEventListener('visibilitychange', hurry);
    return () => {
      window.removeEventListener('online', hurry);
      window.removeEventListener('offline', cut);
      document.removeEventListener('visibilitychange', hurry);
      connection.stop();
    };
  }, [onUnauthorised, subscribers]);
  const live = useMemo<Live>(
    () => ({
      state,
      subscribe: (subscriber) => {
        subscribers.add(subscriber);
        return () => subscribers.delete(subscriber);
      },
    }),
    [state, subscribers],
  );
  return <Context value={live}>{children}</Context>;
}

export function useLiveState(): LiveState {
  return useContext(Context).state;
}

/** Calls `run` when `wanted` says that an event concerns it, at most once a second. */
export function useLive(wanted: (topic: Topic) => boolean, run: () => void): void {
  const { subscribe } = useContext(Context);
  useEffect(() => {
    const soon = coalesce(run, 1_000);
    const leave = subscribe((topic) => {
      if (topic.event === 'resync' || wanted(topic)) soon.call();
    });
    return () => {
      leave();
      soon.cancel();
    };
  }, [subscribe, wanted, run]);
}
