//! A folder stands in for `/proc`, so that pids can be given again at will.

mod attribution;
mod bounds;
mod cost;
mod fake;
mod real;
