//! The edge: sockets to calls. One acceptor hands connections to one thread a core, each with a current_thread runtime of
//! its own, so that a call is read, answered and written without crossing a core.
//!
//! hyper's HTTP/2 server runs tonic's generated services directly: the limits that matter are all in reach here, and what
//! every call needs (readiness, deadline, server time, metrics) is one service instead of a stack of boxed ones.
//!
//! One listener and an acceptor that picks the runtime with the fewest connections, instead of one SO_REUSEPORT listener a
//! runtime: tills connect and stay, so the kernel's hashing would leave runtimes uneven for days, and SO_REUSEPORT would
//! let a second server take half the connections of a running one without either noticing.

pub mod acceptor;
pub mod call;
pub mod connection;
pub mod deadline;
pub mod methods;
pub mod service;
pub mod unary;
pub mod worker;
