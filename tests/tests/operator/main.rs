//! What an operator does and sees: the real programs, on the kernel, in namespaces of their own.

mod bans;
mod boot;
mod capture;
mod confirm;
mod containers;
mod cut_short;
mod doctor;
mod edits;
mod explain;
mod history;
mod interfaces;
mod large;
mod learn;
mod lifecycle;
mod lists;
mod output;
mod policies;
mod readme;
mod session;
mod shadow;
mod site;
mod slow;
mod timed;
mod top;
mod unicode;
mod unprivileged;
