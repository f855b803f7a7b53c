//! The transport of the `custom_transport` example is a whole one: it passes the suite that every transport has to pass.

mod custom_transport;
