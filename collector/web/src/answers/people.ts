// Who is logged in, and colleagues.

import type { Language } from './words';

export interface User {
  name: string;
  display_name: string;
  role: string;
  language: Language;
  must_change_password: boolean;
}

export interface Me {
  user: User;
  csrf: string;
}

/** Somebody who may be given a ticket. */
export interface Colleague {
  name: string;
  display_name: string;
  role: string;
}
