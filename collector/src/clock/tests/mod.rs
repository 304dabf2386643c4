mod follow;
mod life;
mod plans;
