// What went wrong, in the reader's words.

import { ApiError } from '../api';
import type { Key } from './en';
import type { Translate } from './format';

const BY_STATUS: Readonly<Record<number, Key>> = {
  0: 'error.unreachable',
  401: 'error.unauthorised',
  403: 'error.forbidden',
  404: 'error.missing',
  409: 'error.conflict',
  429: 'error.too-many',
  503: 'error.busy',
};

export function errorText(error: unknown, t: Translate): string {
  if (!(error instanceof ApiError)) return t('error.server');
  if (error.code === 'not_allowed') return t('error.detail', { text: t('error.not-allowed'), detail: error.message });
  const key = BY_STATUS[error.status] ?? (error.status >= 500 ? 'error.server' : 'error.refused');
  const text = t(key as 'error.server');
  const tell = error.message !== '' && key === 'error.refused';
  return tell ? t('error.detail', { text, detail: error.message }) : text;
}
