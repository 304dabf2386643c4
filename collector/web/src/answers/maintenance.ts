// Windows of maintenance.

/** A device of a window of maintenance. */
export interface MaintenanceDevice {
  agent: string;
  id: string;
  name: string;
  site: string | null;
  active_alarms: number;
}

/** A window of maintenance. */
export interface Maintenance {
  id: string;
  state: 'planned' | 'now' | 'over';
  agent: string | null;
  site: string | null;
  devices: MaintenanceDevice[];
  from: string;
  until: string;
  reason: string;
  by: string;
  at: string;
  ended_by: string | null;
  ended_at: string | null;
}

/** What an agent knows of its windows. */
export interface AgentKnows {
  agent: string;
  knows: 'all' | 'not_yet' | 'cannot';
}

export interface MaintenanceList {
  items: Maintenance[];
  agents: AgentKnows[];
}

export interface MaintenancePreview {
  devices: MaintenanceDevice[];
  active_alarms: number;
  agents: AgentKnows[];
}

/** A window that is wanted: of an agent, of a site, or of devices. */
export interface MaintenanceWish {
  agent?: string;
  site?: string;
  devices?: { agent: string; id: string }[];
  from?: string;
  until: string;
  reason: string;
}
