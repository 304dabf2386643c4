// What a new password must be, before the collector is asked. Pure.

export const SHORTEST = 10;

export type PasswordFault = 'old-missing' | 'too-short' | 'same' | 'differ';

export function passwordFault(old: string, fresh: string, again: string): PasswordFault | null {
  if (old === '') return 'old-missing';
  if ([...fresh].length < SHORTEST) return 'too-short';
  if (fresh === old) return 'same';
  if (fresh !== again) return 'differ';
  return null;
}
