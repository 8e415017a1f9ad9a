//! The same hold as a Lua script: idempotency, validation, three levels checked and held, the reservation recorded; every
//! reply after a sync (appendfsync always).

use super::{
    basket::{Basket, PRODUCTS, STORES},
    exchange::{Exchange, Protocol, Reply},
    process::{self, Server},
};
use anyhow::Context as _;
use std::{net::SocketAddr, path::Path, process::Command};

/// Answers the first result for a known id; otherwise checks all lines, then holds all.
const SCRIPT: &str = r"
local known = redis.call('HMGET', 'q:' .. ARGV[1], 'hash', 'answer')
if known[1] then
  if known[1] ~= ARGV[2] then return redis.error_reply('REQUEST_ID_REUSED') end
  return known[2]
end
local store = ARGV[4]
if redis.call('EXISTS', 'store:' .. store) == 0 then return redis.error_reply('UNKNOWN_STORE') end
local lines = (#ARGV - 5) / 2
if lines < 1 or lines > 200 then return redis.error_reply('INVALID') end
for i = 0, lines - 1 do
  local quantity = tonumber(ARGV[7 + 2 * i])
  if quantity <= 0 then return redis.error_reply('INVALID') end
  local level = redis.call('HMGET', 's:' .. store .. ':' .. ARGV[6 + 2 * i], 'hand', 'held')
  if not level[1] then return redis.error_reply('UNKNOWN_SKU') end
  if tonumber(level[1]) - tonumber(level[2]) < quantity then return redis.error_reply('INSUFFICIENT_STOCK') end
end
local id = redis.call('INCR', 'reservations')
local record = {'r:' .. id, 'order', ARGV[3], 'store', store, 'state', 'held', 'expires', ARGV[5]}
for i = 0, lines - 1 do
  redis.call('HINCRBY', 's:' .. store .. ':' .. ARGV[6 + 2 * i], 'held', ARGV[7 + 2 * i])
  record[#record + 1] = 'line' .. i
  record[#record + 1] = ARGV[6 + 2 * i] .. ':' .. ARGV[7 + 2 * i]
end
redis.call('HSET', unpack(record))
redis.call('HSET', 'q:' .. ARGV[1], 'hash', ARGV[2], 'answer', id)
redis.call('EXPIRE', 'q:' .. ARGV[1], 86400)
return id
";

/// Fills the levels.
const FILL: &str = r"
for store = 0, tonumber(ARGV[1]) - 1 do
  redis.call('SET', 'store:' .. store, 1)
  for sku = 0, tonumber(ARGV[2]) - 1 do
    redis.call('HSET', 's:' .. store .. ':' .. sku, 'hand', 900000000000, 'held', 0)
  end
end
return 1
";

#[derive(Clone, Copy)]
struct Resp;

impl Protocol for Resp {
    fn reply(self, bytes: &[u8]) -> Option<(usize, Reply)> {
        let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(&bytes[1..line]).unwrap_or_default();
        let end = line + 2;
        match bytes[0] {
            b'-' => Some((end, Err(text.to_owned()))),
            b'$' => {
                let length: i64 = text.parse().unwrap_or(-1);
                let end = end + usize::try_from(length + 2).unwrap_or(0);
                (bytes.len() >= end).then_some((end, Ok(())))
            }
            _ => Some((end, Ok(()))),
        }
    }
}

fn command(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Starts a server in `directory` and fills it. The second part is the script's name in every connection.
pub(super) async fn start(directory: &Path) -> anyhow::Result<Server> {
    let program = process::find("redis-server", &[])
        .context("redis-server is not installed; on Debian: apt-get install redis-server")?;
    let address = process::free_address()?;
    std::fs::create_dir_all(directory)?;
    let mut start = Command::new(program);
    start
        .args(["--bind", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .arg("--dir")
        .arg(directory)
        .args(["--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--daemonize", "no"])
        // A rewrite in the middle would be in its disfavour.
        .args(["--auto-aof-rewrite-percentage", "0"]);
    let server = Server::start("redis-server", start, address).await?;
    let exchange = Exchange::open(address, Resp).await?;
    let (stores, products) = (STORES.to_string(), PRODUCTS.to_string());
    let fill = [
        b"EVAL".as_slice(),
        FILL.as_bytes(),
        b"0",
        stores.as_bytes(),
        products.as_bytes(),
    ];
    exchange.call(command(&fill)).await?;
    exchange
        .call(command(&[b"SCRIPT", b"LOAD", SCRIPT.as_bytes()]))
        .await?;
    Ok(server)
}

/// A connection.
#[derive(Clone)]
pub(super) struct Redis {
    exchange: Exchange,
    /// SHA-1 of the script, as the server knows it.
    script: std::sync::Arc<str>,
}

impl Redis {
    pub(super) async fn open(address: SocketAddr, script: &str) -> anyhow::Result<Self> {
        Ok(Self {
            exchange: Exchange::open(address, Resp).await?,
            script: script.into(),
        })
    }

    pub(super) async fn reserve(&self, basket: &Basket) -> anyhow::Result<()> {
        let texts = basket.numbers_as_text();
        let mut arguments: Vec<&[u8]> = vec![b"EVALSHA", self.script.as_bytes(), b"0"];
        arguments.push(basket.request_id.as_bytes());
        arguments.extend(texts.iter().map(|text| text.as_bytes()));
        self.exchange.call(command(&arguments)).await
    }
}

/// What the server calls the script.
pub(super) fn script_name(directory: &Path, address: SocketAddr) -> anyhow::Result<String> {
    let client = process::find("redis-cli", &[]).context("redis-cli is not installed")?;
    let output = Command::new(client)
        .current_dir(directory)
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
        .args(["SCRIPT", "LOAD", SCRIPT])
        .output()?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    anyhow::ensure!(
        name.len() == 40,
        "redis did not take the script: {name} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_where_it_ends_and_not_before() {
        assert_eq!(Resp.reply(b":12\r\n:1"), Some((5, Ok(()))));
        assert_eq!(Resp.reply(b"$2\r\n12\r\n"), Some((8, Ok(()))));
        assert_eq!(Resp.reply(b"$2\r\n12\r"), None);
        assert_eq!(Resp.reply(b":1"), None);
        assert_eq!(
            Resp.reply(b"-ERR no\r\n"),
            Some((9, Err("ERR no".to_owned())))
        );
    }
}
