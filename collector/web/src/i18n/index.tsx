import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useState,
  type ReactNode,
} from 'react';
import type { Language } from '../api';
import { en, type Key } from './en';
import { fill, type Translate } from './format';
import { zh } from './zh';

export type { Key } from './en';
export type { Translate } from './format';

const STORED = 'callhome.language';

/** The language this browser was told, if it was. */
export function storedLanguage(): Language | null {
  try {
    return readLanguage(localStorage.getItem(STORED));
  } catch {
    return null;
  }
}

export function readLanguage(text: string | null): Language | null {
  return text === 'zh-CN' || text === 'en' ? text : null;
}

/** Chinese for a browser that asks for any Chinese first, English for all others. */
export function browserLanguage(wanted: readonly string[]): Language {
  return wanted[0]?.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';
}

export function translator(language: Language): Translate {
  const texts: Readonly<Record<Key, string>> = language === 'en' ? en : zh;
  return (key, ...args) => fill(texts[key], args[0]);
}

interface I18n {
  language: Language;
  t: Translate;
  /** Shows this language from now on; `remember` also in this browser. */
  setLanguage(language: Language, remember: boolean): void;
}

const Context = createContext<I18n>({
  language: 'en',
  t: translator('en'),
  setLanguage: () => undefined,
});

export function I18nProvider({ children }: { children: ReactNode }) {
  const [language, show] = useState<Language>(
    () => storedLanguage() ?? browserLanguage(navigator.languages),
  );
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const setLanguage = useCallback((next: Language, remember: boolean) => {
    show(next);
    if (!remember) return;
    try {
      localStorage.setItem(STORED, next);
    } catch {
      // Without storage the choice lasts until the page is loaded again.
    }
  }, []);
  const value = useMemo(
    () => ({ language, t: translator(language), setLanguage }),
    [language, setLanguage],
  );
  return <Context value={value}>{children}</Context>;
}

export function useI18n(): I18n {
  return useContext(Context);
}
