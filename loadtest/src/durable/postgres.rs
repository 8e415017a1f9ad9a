//! The same hold as one PL/pgSQL call with a prepared statement: idempotency table, three levels locked in SKU order and
//! checked, reservation and lines inserted; committed with synchronous_commit and fsync on.

use super::{
    basket::{Basket, PRODUCTS, STORES},
    exchange::{Exchange, Protocol, Reply},
    process::{self, Server},
};
use anyhow::Context as _;
use std::{net::SocketAddr, path::Path, process::Command};

const SCHEMA: &str = r"
create table stores (id int primary key);
create table stock (store int, sku int, on_hand bigint not null, held bigint not null, primary key (store, sku)) with (fillfactor = 70);
create table reservations (id bigint primary key, order_id text not null, store int not null, state smallint not null, expires timestamptz not null);
create table reservation_lines (reservation bigint, line smallint, sku int not null, quantity bigint not null, primary key (reservation, line));
create table requests (request_id text primary key, payload_hash bigint not null, reservation bigint not null, answered timestamptz not null);
create sequence reservation_ids cache 64;
create function reserve(p_request text, p_hash bigint, p_order text, p_store int, p_skus int[], p_quantities bigint[])
returns bigint language plpgsql as $$
declare
  known record;
  fitting int;
  rid bigint;
  wanted int := coalesce(array_length(p_skus, 1), 0);
begin
  select payload_hash, reservation into known from requests where request_id = p_request;
  if found then
    if known.payload_hash <> p_hash then raise exception 'REQUEST_ID_REUSED'; end if;
    return known.reservation;
  end if;
  if wanted < 1 or wanted > 200 or 0 >= any(p_quantities) then raise exception 'INVALID'; end if;
  perform 1 from stores where id = p_store;
  if not found then raise exception 'UNKNOWN_STORE'; end if;
  select count(*) into fitting from (
    select s.on_hand - s.held >= w.quantity as fits
    from unnest(p_skus, p_quantities) as w(sku, quantity) join stock s on s.store = p_store and s.sku = w.sku
    order by s.sku for update of s) locked where fits;
  if fitting <> wanted then raise exception 'INSUFFICIENT_STOCK'; end if;
  rid := nextval('reservation_ids');
  insert into requests values (p_request, p_hash, rid, now());
  update stock s set held = held + w.quantity from unnest(p_skus, p_quantities) as w(sku, quantity) where s.store = p_store and s.sku = w.sku;
  insert into reservations values (rid, p_order, p_store, 1, now() + interval '15 minutes');
  insert into reservation_lines select rid, w.line, w.sku, w.quantity from unnest(p_skus, p_quantities) with ordinality as w(sku, quantity, line);
  return rid;
end $$;
";

const PREPARE: &str =
    "select reserve($1::text, $2::bigint, $3::text, $4::int, $5::int[], $6::bigint[])";

/// Errors when it was told to listen are in its own log; a longer start than this is none.
const USER: &str = "postgres";

#[derive(Clone, Copy)]
struct Frontend;

impl Protocol for Frontend {
    /// Everything up to "ready for query"; an error among it is what it says.
    fn reply(self, bytes: &[u8]) -> Option<(usize, Reply)> {
        let (mut at, mut outcome) = (0, Ok(()));
        loop {
            let head = bytes.get(at..at + 5)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let end = at + 1 + length;
            let body = bytes.get(at + 5..end)?;
            match head[0] {
                b'E' => outcome = Err(message_of(body)),
                b'Z' => return Some((end, outcome)),
                _ => {}
            }
            at = end;
        }
    }
}

/// The text of an error: fields of one letter and a text that ends with a zero.
fn message_of(body: &[u8]) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"M"))
        .map_or_else(
            || "an error without a message".to_owned(),
            |text| String::from_utf8_lossy(text).into_owned(),
        )
}

fn message(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    message(b'Q', &[text.as_bytes(), &[0]].concat(), &mut out);
    out
}

fn startup() -> Vec<u8> {
    const VERSION: u32 = 3 << 16;
    let mut body = VERSION.to_be_bytes().to_vec();
    body.extend_from_slice(format!("user\0{USER}\0database\0{USER}\0\0").as_bytes());
    let mut out = (body.len() as u32 + 4).to_be_bytes().to_vec();
    out.extend_from_slice(&body);
    out
}

/// Starts a server in `directory` and fills it.
pub(super) async fn start(directory: &Path) -> anyhow::Result<Server> {
    let missing = "PostgreSQL's server is not installed; on Debian: apt-get install postgresql";
    let folders = process::folders_of("/usr/lib/postgresql", "bin");
    let initdb = process::find("initdb", &folders).context(missing)?;
    let postgres = process::find("postgres", &folders).context(missing)?;
    let address = process::free_address()?;
    process::make_directory_for_unprivileged(directory)?;
    let data = directory.join("data");
    let mut init = Command::new(initdb);
    init.current_dir(directory)
        .args(["--auth", "trust", "--username", USER, "--encoding", "UTF8"])
        .args(["--no-locale", "--pgdata"])
        .arg(&data);
    process::unprivileged(&mut init)?;
    let output = init.output().context("initdb cannot be started")?;
    anyhow::ensure!(
        output.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut start = Command::new(postgres);
    start
        .current_dir(directory)
        .arg("-D")
        .arg(&data)
        .args(["-p", &address.port().to_string(), "-h", "127.0.0.1"])
        .arg("-k")
        .arg(directory);
    for setting in [
        "synchronous_commit=on",
        "fsync=on",
        "full_page_writes=on",
        "shared_buffers=512MB",
        "max_wal_size=8GB",
        "wal_buffers=16MB",
        "checkpoint_timeout=30min",
        "max_connections=200",
        "jit=off",
    ] {
        start.args(["-c", setting]);
    }
    process::unprivileged(&mut start)?;
    let server = Server::start("postgres", start, address).await?;
    let exchange = connect(address).await?;
    exchange.call(query(SCHEMA)).await?;
    for fill in [
        format!("insert into stores select generate_series(0, {STORES} - 1)"),
        format!(
            "insert into stock select store, sku, 900000000000, 0 from generate_series(0, {STORES} - 1) store, generate_series(0, {PRODUCTS} - 1) sku"
        ),
        "vacuum analyze".to_owned(),
        "checkpoint".to_owned(),
    ] {
        exchange.call(query(&fill)).await?;
    }
    Ok(server)
}

async fn connect(address: SocketAddr) -> anyhow::Result<Exchange> {
    // It accepts before it is ready to serve; then it says so and closes.
    let mut left = 100;
    loop {
        let exchange = Exchange::open(address, Frontend).await?;
        match exchange.call(startup()).await {
            Ok(()) => return Ok(exchange),
            Err(error) if left == 0 => return Err(error.context("PostgreSQL does not start")),
            Err(_) => left -= 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// A connection with the call prepared; one call at a time, as with every client of it.
pub(super) struct Postgres {
    exchange: Exchange,
}

impl Postgres {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let exchange = connect(address).await?;
        let mut prepare = Vec::new();
        let body = [b"r\0", PREPARE.as_bytes(), b"\0", &[0, 0]].concat();
        message(b'P', &body, &mut prepare);
        message(b'S', &[], &mut prepare);
        exchange.call(prepare).await?;
        Ok(Self { exchange })
    }

    pub(super) async fn reserve(&self, basket: &Basket) -> anyhow::Result<()> {
        let list = |numbers: Vec<String>| format!("{{{}}}", numbers.join(","));
        let values = [
            basket.request_id.clone(),
            basket.payload_hash.to_string(),
            basket.order_id.clone(),
            basket.store.to_string(),
            list(
                basket
                    .lines
                    .iter()
                    .map(|(sku, _)| sku.to_string())
                    .collect(),
            ),
            list(
                basket
                    .lines
                    .iter()
                    .map(|(_, quantity)| quantity.to_string())
                    .collect(),
            ),
        ];
        // Portal, statement, all values as text, their number.
        let mut bind = b"\0r\0\0\0".to_vec();
        bind.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in &values {
            bind.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bind.extend_from_slice(value.as_bytes());
        }
        bind.extend_from_slice(&[0, 0]);
        let mut out = Vec::with_capacity(256);
        message(b'B', &bind, &mut out);
        message(b'E', &[0, 0, 0, 0, 0], &mut out);
        message(b'S', &[], &mut out);
        self.exchange.call(out).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_ready_for_query_and_carries_the_error() {
        let ready = [b'Z', 0, 0, 0, 5, b'I'];
        assert_eq!(Frontend.reply(&ready), Some((6, Ok(()))));
        assert_eq!(Frontend.reply(&ready[..5]), None);
        let mut failed = Vec::new();
        message(b'E', b"SERROR\0MINSUFFICIENT_STOCK\0\0", &mut failed);
        assert_eq!(Frontend.reply(&failed), None);
        failed.extend_from_slice(&ready);
        let told = Err("INSUFFICIENT_STOCK".to_owned());
        assert_eq!(Frontend.reply(&failed), Some((failed.len(), told)));
    }
}
