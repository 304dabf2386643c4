// Customers, sites, contacts, contracts, devices.

/** A customer, site, contact, contract or device; its texts by field. */
export interface Master {
  id: string;
  values: Record<string, string>;
  to_complete: boolean;
  version: number;
  updated_at: string;
  updated_by: string;
}

export interface MasterList {
  items: Master[];
  next: string | null;
}

export interface ImportDone {
  new: number;
  changed: number;
  unchanged: number;
}
