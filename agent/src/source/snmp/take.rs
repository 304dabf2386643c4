//! Reading what a device is made of, column by column between two polls: what [`super::stock`] decides.

use callhome_shared::inventory::Inventory;
use callhome_shared::time::Time;
use tokio::time::Instant;

use super::error::SnmpError;
use super::outlet::Outlet;
use super::poll::Poller;
use super::stock::Taken;
use super::walk::{Column, walk};
use crate::profile::oid::Oid;
use crate::source::SourceKind;

impl Poller<'_> {
    /// Whether there are parts of the device to be read before `next_poll`.
    pub fn has_stock_to_take(&self, next_poll: Instant) -> bool {
        self.identity.device().is_some()
            && self.stock.is_due(Instant::now(), next_poll, self.settings.interval)
    }

    /// Reads a column of the device's parts; when that was the last one, hands all of them over. What has not
    /// come until the next poll is tried again after it.
    pub async fn take_stock(&mut self, next_poll: Instant, out: &Outlet) {
        let Some(column) = self.stock.next() else { return };
        let walked = self.walk_until(next_poll, &column).await;
        let taken = match walked {
            Ok(walked) => self.stock.take(column, walked, Instant::now()),
            Err(error) => {
                let address = &self.settings.address;
                tracing::debug!(%address, error = error.chain(), "parts not read");
                self.stock.fail(next_poll, Instant::now())
            }
        };
        let (Taken::All(modules, left_out), Some(device)) = (taken, self.identity.device()) else {
            return;
        };
        let (sysobjectid, plan) = self.plan.as_ref().map(|(id, plan)| (id, plan)).unzip();
        let profiles = plan.map(|plan| plan.names().into_iter().map(str::to_owned).collect());
        out.tell(Inventory {
            at: Time::now(),
            device: (*device).clone(),
            read_by: SourceKind::Snmp.as_str().to_owned(),
            sysobjectid: sysobjectid.and_then(Option::as_ref).map(ToString::to_string),
            profiles: profiles.unwrap_or_default(),
            modules,
            left_out: left_out as u64,
        })
        .await;
    }

    async fn walk_until(&mut self, deadline: Instant, column: &Oid) -> Result<Column, SnmpError> {
        self.connect(deadline).await?;
        let session = self.session.as_mut().ok_or(SnmpError::Busy)?;
        let walked = walk(session, &mut self.appetite, &[column]).await?;
        Ok(walked.into_iter().next().unwrap_or_default())
    }
}
