mod life;
mod plans;
