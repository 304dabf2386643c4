import { useEffect } from 'react';
import { useI18n } from './i18n';

/** Names the browser's tab; `unseen` counts what came while it was in the background. */
export function useTitle(text: string, unseen = 0): void {
  const { t } = useI18n();
  const name = t('app.name');
  useEffect(() => {
    document.title = `${unseen > 0 ? `(${unseen}) ` : ''}${text} · ${name}`;
  }, [text, unseen, name]);
}
