// What the collector's API answers and takes: the documents' shapes. Times are RFC 3339 texts in UTC.

export type * from './access';
export type * from './alarms';
export type * from './desk';
export type * from './duty';
export type * from './fleet';
export type * from './knowledge';
export type * from './maintenance';
export type * from './masters';
export type * from './mine';
export type * from './notices';
export type * from './people';
export type * from './reports';
export type * from './service';
export type * from './tickets';
export type * from './trust';
export type * from './words';
