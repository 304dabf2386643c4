//! What the broker should hold, and what must be changed for it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use callhome_shared::id::AgentId;
use callhome_shared::topic::{Filters, agent_filters, collector_filters};
use serde::Deserialize;
use serde_json::{Value, json};

/// The collector's role.
const COLLECTOR_ROLE: &str = "callhome-collector";
/// Before the agent's id in the name of its role. What carries it is ours; nothing else is touched.
const AGENT_ROLE: &str = "callhome-agent-";

/// One rule of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Acl {
    acltype: String,
    topic: String,
    allow: bool,
}

/// A role as the plugin lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Role {
    pub(super) rolename: String,
    #[serde(default)]
    pub(super) acls: Vec<Acl>,
}

/// A role's name in a client's list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Named {
    rolename: String,
}

/// A client as the plugin lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Client {
    pub(super) username: String,
    #[serde(default)]
    pub(super) roles: Vec<Named>,
    #[serde(default)]
    disabled: bool,
}

/// What the broker holds.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) roles: Vec<Role>,
    pub(super) clients: Vec<Client>,
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A role is missing.
    CreateRole(String, Vec<Value>),
    /// A role has other rules. Its clients' connections are closed by the plugin.
    ModifyRole(String, Vec<Value>),
    /// A client is missing: user name, role.
    CreateClient(String, String),
    /// A client has other roles or is disabled: user name, role.
    ModifyClient(String, String),
    /// A client must not be. Its connection is closed by the plugin.
    DeleteClient(String),
    /// A role is nobody's.
    DeleteRole(String),
}

impl Change {
    /// In the plugin's words.
    pub(super) fn command(&self) -> Value {
        match self {
            Change::CreateRole(role, acls) => {
                json!({"command": "createRole", "rolename": role, "acls": acls})
            }
            Change::ModifyRole(role, acls) => {
                json!({"command": "modifyRole", "rolename": role, "acls": acls})
            }
            Change::CreateClient(user, role) => {
                json!({"command": "createClient", "username": user, "roles": [{"rolename": role}]})
            }
            Change::ModifyClient(user, role) => {
                json!({"command": "modifyClient", "username": user, "roles": [{"rolename": role}]})
            }
            Change::DeleteClient(user) => json!({"command": "deleteClient", "username": user}),
            Change::DeleteRole(role) => json!({"command": "deleteRole", "rolename": role}),
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::CreateRole(role, _) => write!(f, "role {role} made"),
            Change::ModifyRole(role, _) => write!(f, "role {role} set right"),
            Change::CreateClient(user, _) => write!(f, "client {user} made"),
            Change::ModifyClient(user, _) => write!(f, "client {user} set right"),
            Change::DeleteClient(user) => write!(f, "client {user} removed"),
            Change::DeleteRole(role) => write!(f, "role {role} removed"),
        }
    }
}

/// What must be changed so that exactly the collector and these agents have rights, and exactly
/// theirs. Clients and roles that are not ours stay as they are.
pub(super) fn changes(
    present: &Present,
    collector: &str,
    agents: &HashSet<AgentId>,
) -> Vec<Change> {
    // In order, so that two rounds say the same.
    let agents: BTreeSet<&AgentId> = agents.iter().collect();
    let mut wanted: BTreeMap<String, (String, Vec<Acl>)> = agents
        .iter()
        .map(|id| (id.to_string(), (format!("{AGENT_ROLE}{id}"), acls(&agent_filters(id)))))
        .collect();
    let own = (COLLECTOR_ROLE.to_owned(), acls(&collector_filters()));
    wanted.insert(collector.to_owned(), own);

    let roles: BTreeMap<&str, &Role> =
        present.roles.iter().map(|r| (r.rolename.as_str(), r)).collect();
    let clients: BTreeMap<&str, &Client> =
        present.clients.iter().map(|c| (c.username.as_str(), c)).collect();
    let mut changes = Vec::new();
    // Who must go goes first.
    for client in &present.clients {
        let ours = client.roles.iter().any(|r| r.rolename.starts_with(AGENT_ROLE));
        if ours && !wanted.contains_key(&client.username) {
            changes.push(Change::DeleteClient(client.username.clone()));
        }
    }
    for (role, acls) in wanted.values() {
        match roles.get(role.as_str()) {
            None => changes.push(Change::CreateRole(role.clone(), written(acls))),
            Some(has) if sorted(&has.acls) != *acls => {
                changes.push(Change::ModifyRole(role.clone(), written(acls)));
            }
            Some(_) => {}
        }
    }
    for (user, (role, _)) in &wanted {
        match clients.get(user.as_str()) {
            None => changes.push(Change::CreateClient(user.clone(), role.clone())),
            Some(has) if has.roles.iter().map(|r| &r.rolename).ne([role]) => {
                changes.push(Change::ModifyClient(user.clone(), role.clone()));
            }
            Some(_) => {}
        }
    }
    let needed: BTreeSet<&String> = wanted.values().map(|(role, _)| role).collect();
    for role in &present.roles {
        if role.rolename.starts_with(AGENT_ROLE) && !needed.contains(&role.rolename) {
            changes.push(Change::DeleteRole(role.rolename.clone()));
        }
    }
    changes
}

/// The rules that give exactly these rights, sorted.
fn acls(filters: &Filters) -> Vec<Acl> {
    let acl = |acltype: &str, topic: &String| Acl {
        acltype: acltype.to_owned(),
        topic: topic.clone(),
        allow: true,
    };
    let mut acls: Vec<Acl> =
        filters.publish.iter().map(|topic| acl("publishClientSend", topic)).collect();
    for filter in &filters.subscribe {
        for kind in ["publishClientReceive", "subscribePattern", "unsubscribePattern"] {
            acls.push(acl(kind, filter));
        }
    }
    acls.sort();
    acls
}

fn sorted(acls: &[Acl]) -> Vec<Acl> {
    let mut acls = acls.to_vec();
    acls.sort();
    acls
}

fn written(acls: &[Acl]) -> Vec<Value> {
    acls.iter().map(|a| json!({"acltype": a.acltype, "topic": a.topic, "allow": a.allow})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(ids: &[&str]) -> HashSet<AgentId> {
        ids.iter().map(|id| AgentId::new(id).unwrap()).collect()
    }

    /// What the broker holds after `changes`.
    fn applied(present: Present, changes: &[Change]) -> Present {
        let Present { mut roles, mut clients } = present;
        let read = |role: &str, acls: &[Value]| Role {
            rolename: role.to_owned(),
            acls: acls.iter().map(|a| serde_json::from_value(a.clone()).unwrap()).collect(),
        };
        let client = |user: &str, role: &str| Client {
            username: user.to_owned(),
            roles: vec![Named { rolename: role.to_owned() }],
            disabled: false,
        };
        for change in changes {
            match change {
                Change::CreateRole(role, acls) => roles.push(read(role, acls)),
                Change::ModifyRole(role, acls) => {
                    roles.retain(|r| r.rolename != *role);
                    roles.push(read(role, acls));
                }
                Change::CreateClient(user, role) => {
                    assert!(roles.iter().any(|r| r.rolename == *role), "role before client");
                    clients.push(client(user, role));
                }
                Change::ModifyClient(user, role) => {
                    clients.retain(|c| c.username != *user);
                    clients.push(client(user, role));
                }
                Change::DeleteClient(user) => clients.retain(|c| c.username != *user),
                Change::DeleteRole(role) => {
                    roles.retain(|r| r.rolename != *role);
                    for client in &mut clients {
                        client.roles.retain(|r| r.rolename != *role);
                    }
                }
            }
        }
        Present { roles, clients }
    }

    #[test]
    fn makes_sets_right_removes_and_leaves_others_alone() {
        let both = agents(&["a", "b"]);
        let first = changes(&Present::default(), "main", &both);
        assert_eq!(first.len(), 6, "{first:?}");
        let mut present = applied(Present::default(), &first);
        assert_eq!(changes(&present, "main", &both), []);

        let foreign = Client {
            username: "printer".into(),
            roles: vec![Named { rolename: "office".into() }],
            disabled: false,
        };
        present.clients.push(foreign.clone());
        present.roles.push(Role { rolename: "office".into(), acls: Vec::new() });
        // Somebody gave `a` more than it should have.
        let role = present.roles.iter_mut().find(|r| r.rolename == "callhome-agent-a").unwrap();
        role.acls.push(Acl { acltype: "subscribePattern".into(), topic: "#".into(), allow: true });
        let said: Vec<String> =
            changes(&present, "main", &agents(&["a"])).iter().map(Change::to_string).collect();
        assert_eq!(
            said,
            [
                "client b removed",
                "role callhome-agent-a set right",
                "role callhome-agent-b removed"
            ]
        );
        let wanted = changes(&present, "main", &agents(&["a"]));
        let present = applied(present, &wanted);
        assert!(present.clients.contains(&foreign));
        assert_eq!(changes(&present, "main", &agents(&["a"])), []);
    }

    proptest::proptest! {
        /// From any state of ours, one round reaches the wanted one.
        #[test]
        fn prop_one_round_is_enough(before in proptest::collection::hash_set("[a-d]", 0..4),
                                    after in proptest::collection::hash_set("[a-d]", 0..4)) {
            let ids = |names: &HashSet<String>| names.iter().map(|n| AgentId::new(n).unwrap()).collect();
            let (before, after): (HashSet<AgentId>, HashSet<AgentId>) = (ids(&before), ids(&after));
            let present = applied(Present::default(), &changes(&Present::default(), "main", &before));
            let present = applied(present, &[]);
            let round = changes(&present, "main", &after);
            let present = applied(present, &round);
            proptest::prop_assert_eq!(changes(&present, "main", &after), vec![]);
            proptest::prop_assert_eq!(present.clients.len(), after.len() + 1);
        }
    }
}
