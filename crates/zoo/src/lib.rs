//! Small models with known relations: trained on shipped text and derived from each other by one recipe.
//!
//! The zoo is the ground truth that identity decisions and the relationship classifier are measured on.

#![forbid(unsafe_code)]
