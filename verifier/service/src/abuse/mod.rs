//! What is kept and told of requests that were refused: attempts for administrators, lines for the log, numbers for
//! `/metrics`.

mod attempts;
mod log_budget;
mod witness;

pub(crate) use attempts::{Attempt, AttemptFilter, Attempts};
pub(crate) use log_budget::LogBudget;
pub(crate) use witness::EdgeWitness;
