//! How a server is.

use super::{
    client::{Client, Refusal},
    info::Info,
    product::Product,
};
use crate::server::{
    engine::{Answered, Health},
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(platform: &dyn Platform, product: &Product, node: &NodeSpec, password: &SecretString) -> anyhow::Result<Health> {
    let ask = async {
        let mut client = Client::sign_in(platform, node, password).await?;
        // While it reads its data it tells of itself, but answers nobody else: this command it refuses then.
        client.ask(&["PING"]).await?;
        info(&mut client).await?.health(product)
    };
    let asked = timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?;
    asked.map_err(|why| if why.downcast_ref::<Refusal>().is_some() { why.context(Answered) } else { why })
}

/// What the server tells of itself.
pub(super) async fn info(client: &mut Client) -> anyhow::Result<Info> {
    Ok(Info(client.ask(&["INFO", "server", "memory", "persistence", "replication"]).await?))
}
