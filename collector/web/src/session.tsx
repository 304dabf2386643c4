// Who is logged in.

import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactNode,
} from 'react';
import { api, ApiError, listen, type Language, type Me, type User } from './api';
import { useI18n } from './i18n';

type Phase =
  | { at: 'asking' }
  | { at: 'failed'; error: unknown }
  | { at: 'out'; ended: boolean }
  | { at: 'in'; user: User };

interface Session {
  phase: Phase;
  login(name: string, password: string): Promise<void>;
  logout(): Promise<void>;
  /** Asks the collector again who this is. */
  refresh(): Promise<void>;
  /** Shows a language and keeps it with the user, when somebody is logged in. */
  chooseLanguage(language: Language): void;
  /** The collector no longer knows this session. */
  ended(): void;
}

const Context = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const { language, setLanguage } = useI18n();
  const [phase, setPhase] = useState<Phase>({ at: 'asking' });
  // Whether the language on the screen is to become the user's: after a choice on the log-in
  // page, and at the very first log-in, which takes the browser's along.
  const keep = useRef(false);

  const enter = useCallback(
    (me: Me) => {
      if (me.user.must_change_password) keep.current = true;
      else if (!keep.current) setLanguage(me.user.language, true);
      setPhase({ at: 'in', user: me.user });
    },
    [setLanguage],
  );

  const refresh = useCallback(async () => {
    try {
      enter(await api.me());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) setPhase({ at: 'out', ended: false });
      else setPhase({ at: 'failed', error });
    }
  }, [enter]);

  const ended = useCallback(() => {
    keep.current = false;
    setPhase((now) => (now.at === 'in' ? { at: 'out', ended: true } : now));
  }, []);

  useEffect(() => {
    void refresh();
    listen({ onUnauthorised: ended });
    return () => listen(null);
    // Once: a change of language must not ask again.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  const user = phase.at === 'in' ? phase.user : null;
  const usable = user !== null && !user.must_change_password;
  useEffect(() => {
    if (!usable || user.language === language) return;
    api.setLanguage(language).then(
      () => setPhase((now) => (now.at === 'in' ? { at: 'in', user: { ...now.user, language } } : now)),
      () => undefined, // It is still shown; the next choice tries again.
    );
  }, [usable, user, language]);

  const value = useMemo<Session>(
    () => ({
      phase,
      refresh,
      ended,
      login: async (name, password) => enter(await api.login(name, password)),
      logout: async () => {
        try {
          await api.logout();
        } catch (error) {
          if (!(error instanceof ApiError && error.status === 401)) throw error;
        }
        keep.current = false;
        setPhase({ at: 'out', ended: false });
      },
      chooseLanguage: (next) => {
        keep.current = true;
        setLanguage(next, true);
      },
    }),
    [phase, refresh, ended, enter, setLanguage],
  );
  return <Context value={value}>{children}</Context>;
}

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error('useSession outside SessionProvider');
  return session;
}
