//! A split: shares that sum to one, loads of GPUs that follow from them, and GPUs that cannot carry less.

use std::collections::BTreeMap;

use crate::error::{Error, Place};
use crate::placement::Placement;
use crate::placement::split::{LayerSplit, Split};
use crate::problem::cluster::Cluster;
use crate::problem::loads::CanonicalLoads;
use crate::verify::structure::verify_structure;

/// If exact loads would need more parts of a canonical load than this, so many are enough.
const MAX_UNIT: u64 = 1 << 22;

/// The same for equal shares.
const MAX_EQUAL_PARTS: u128 = 1 << 34;

/// Checks a split again, from the definitions: the structure of the placement; that the shares of every
/// expert sum to one, and are equal without load; what every GPU carries; that the busy GPUs bound the
/// time, and that it is attained; and the figures of equal shares.
///
/// Time O(layers * P log P).
///
/// # Errors
/// The first thing that is false; loads of another shape than the placement.
pub fn verify_split(
    placement: &Placement,
    split: &Split,
    loads: &CanonicalLoads,
) -> Result<(), Error> {
    verify_structure(placement)?;
    let topology = placement.topology();
    let (layers, slots, experts) =
        (placement.layers(), topology.num_replicas(), topology.num_experts());
    loads.check_shape(layers, experts)?;
    let sizes = [
        ("numerators", split.numerators.len(), layers * slots),
        ("denominators", split.denominators.len(), layers * experts),
        ("layers", split.layers.len(), layers),
    ];
    for (name, found, expected) in sizes {
        if found != expected {
            let claim = format!("the split has {found} {name}, not {expected}");
            return Err(Error::falsehood(Place::default(), claim));
        }
    }
    if split.loads_sha256 != loads.sha256() {
        return Err(Error::falsehood(Place::default(), "the split is for other loads"));
    }
    for (layer, claims) in split.layers.iter().enumerate() {
        let layer = Layer {
            index: layer,
            phy2log: &placement.phy2log()[layer * slots..][..slots],
            logcnt: &placement.logcnt()[layer * experts..][..experts],
            numerators: &split.numerators[layer * slots..][..slots],
            denominators: &split.denominators[layer * experts..][..experts],
            loads: loads.row(layer),
            exponent: loads.exponents()[layer],
            cluster: topology.cluster(),
        };
        layer.check_shares()?;
        layer.check_gpu_loads(claims)?;
        layer.check_attained(claims)?;
        layer.check_bound(claims)?;
        layer.check_equal_shares(claims)?;
    }
    Ok(())
}

struct Layer<'a> {
    index: usize,
    phy2log: &'a [i64],
    logcnt: &'a [i64],
    numerators: &'a [i64],
    denominators: &'a [i64],
    loads: &'a [u64],
    exponent: i32,
    cluster: &'a Cluster,
}

impl Layer<'_> {
    fn falsehood(&self, claim: impl Into<String>) -> Result<(), Error> {
        Err(Error::falsehood(Place::layer(self.index), claim))
    }

    fn check_shares(&self) -> Result<(), Error> {
        let mut sums = vec![0_i128; self.loads.len()];
        for (slot, (&expert, &numerator)) in self.phy2log.iter().zip(self.numerators).enumerate() {
            let place = Place::slot(self.index, slot);
            if expert < 0 {
                if numerator != 0 {
                    let claim = format!("the numerator {numerator} of an empty slot is not 0");
                    return Err(Error::falsehood(place, claim));
                }
                continue;
            }
            let expert = expert as usize;
            if numerator < 0 {
                let claim = format!("the numerator {numerator} is negative");
                return Err(Error::falsehood(place, claim));
            }
            let equal = i128::from(numerator) * i128::from(self.logcnt[expert]);
            if self.loads[expert] == 0 && equal != i128::from(self.denominators[expert]) {
                let claim = format!("expert {expert} has no load, but its shares are not equal");
                return Err(Error::falsehood(place, claim));
            }
            sums[expert] += i128::from(numerator);
        }
        for (expert, (&sum, &denominator)) in sums.iter().zip(self.denominators).enumerate() {
            if denominator < 1 || sum != i128::from(denominator) {
                let claim = format!("the numerators sum to {sum} of {denominator}");
                return Err(Error::falsehood(Place::expert(self.index, expert), claim));
            }
        }
        Ok(())
    }

    fn check_gpu_loads(&self, claims: &LayerSplit) -> Result<(), Error> {
        let LayerSplit { unit, gpu_load, .. } = claims;
        if !(1..=MAX_UNIT).contains(unit) || gpu_load.len() != self.cluster.num_gpus() {
            let gpus = gpu_load.len();
            return self
                .falsehood(format!("loads of {gpus} GPUs in units of 1/{unit} are not those"));
        }
        if claims.exponent != self.exponent {
            return self.falsehood("the split is for other loads: a multiple of these");
        }
        for (gpu, &said) in gpu_load.iter().enumerate() {
            let mut held = BTreeMap::<i64, u128>::new();
            for slot in self.cluster.slots_of(gpu).filter(|&slot| self.phy2log[slot] >= 0) {
                *held.entry(self.phy2log[slot]).or_default() += self.numerators[slot] as u128;
            }
            let (mut is, mut whole) = (0, true);
            for (expert, numerator) in held {
                // Below 2^41 * 2^22 * 2^63.
                let parts = u128::from(self.loads[expert as usize]) * u128::from(*unit) * numerator;
                let denominator = self.denominators[expert as usize] as u128;
                is += parts / denominator;
                whole &= parts.is_multiple_of(denominator);
            }
            if !whole || is != u128::from(said) {
                let rest = if whole { "" } else { " and a part" };
                return self.falsehood(format!(
                    "the split says that GPU {gpu} carries {said}/{unit}, but it carries \
                     {is}{rest}/{unit}"
                ));
            }
        }
        Ok(())
    }

    /// The largest load by speed, and the mean.
    fn check_attained(&self, claims: &LayerSplit) -> Result<(), Error> {
        let (top, bottom) = (claims.attained.numerator(), claims.attained.denominator());
        let mut is_attained = false;
        for (gpu, (&load, properties)) in
            claims.gpu_load.iter().zip(self.cluster.gpus()).enumerate()
        {
            let speed = u128::from(claims.unit) * u128::from(properties.speed);
            let (load, attained) = (u128::from(load) * bottom, top * speed);
            if load > attained {
                return self.falsehood(format!(
                    "the split says that it attains {top}/{bottom}, but GPU {gpu} takes longer"
                ));
            }
            is_attained |= load == attained;
        }
        if !is_attained {
            return self.falsehood(format!("no GPU takes as long as {top}/{bottom}"));
        }
        let (top, bottom) = (claims.mean.numerator(), claims.mean.denominator());
        let (load, speed) = (
            self.loads.iter().map(|&load| u128::from(load)).sum::<u128>(),
            self.cluster.total_speed(),
        );
        if load * bottom != top * u128::from(speed) {
            return self.falsehood(format!("the mean is {load}/{speed}, not {top}/{bottom}"));
        }
        Ok(())
    }

    /// Whatever the shares, what only the busy GPUs hold is theirs. What the busiest carries beyond that
    /// mean is not a whole part.
    fn check_bound(&self, claims: &LayerSplit) -> Result<(), Error> {
        let mut is_busy = vec![false; self.cluster.num_gpus()];
        for &gpu in &claims.busy_gpus {
            match is_busy.get_mut(gpu) {
                Some(busy) if !*busy => *busy = true,
                _ => return self.falsehood(format!("GPU {gpu} is busy twice, or is not there")),
            }
        }
        let mut only_theirs = vec![true; self.loads.len()];
        for (gpu, _) in is_busy.iter().enumerate().filter(|&(_, &busy)| !busy) {
            for &expert in self.phy2log[self.cluster.slots_of(gpu)].iter().filter(|&&e| e >= 0) {
                only_theirs[expert as usize] = false;
            }
        }
        let theirs = self.loads.iter().zip(&only_theirs).filter(|&(_, &theirs)| theirs);
        let load: u128 = theirs.map(|(&load, _)| u128::from(load)).sum();
        let busy = self.cluster.gpus().iter().zip(&is_busy).filter(|&(_, &busy)| busy);
        let speed: u128 = busy.map(|(gpu, _)| u128::from(gpu.speed)).sum();
        let (top, bottom) = (claims.lower_bound.numerator(), claims.lower_bound.denominator());
        if speed == 0 || load * bottom != top * speed {
            return self.falsehood(format!(
                "the split says that the bound is {top}/{bottom}, but the busy GPUs say {load}/{speed}"
            ));
        }
        // In whole parts, exactly if these are fine enough.
        let unit = u128::from(claims.unit);
        if !unit.is_multiple_of(bottom) && claims.unit != MAX_UNIT {
            return self.falsehood(format!("1/{unit} is too coarse for the bound {top}/{bottom}"));
        }
        let parts = (top * unit).div_ceil(bottom);
        let attained = &claims.attained;
        if attained.numerator() * unit > parts * attained.denominator() {
            let (is, of) = (attained.numerator(), attained.denominator());
            return self.falsehood(format!("{is}/{of} is above the bound {top}/{bottom}"));
        }
        Ok(())
    }

    fn check_equal_shares(&self, claims: &LayerSplit) -> Result<(), Error> {
        let said = claims.attained_by_equal_shares;
        let parts = self.parts();
        let mut is_attained = false;
        for (gpu, properties) in self.cluster.gpus().iter().enumerate() {
            let held = self.phy2log[self.cluster.slots_of(gpu)].iter().filter(|&&e| e >= 0);
            let share = |&expert: &i64| {
                let load = u128::from(self.loads[expert as usize]);
                (load * parts).div_ceil(self.logcnt[expert as usize] as u128)
            };
            let load = held.map(share).sum::<u128>() * said.denominator();
            let time = said.numerator() * parts * u128::from(properties.speed);
            if load > time {
                return self.falsehood(format!("GPU {gpu} takes longer by equal shares"));
            }
            is_attained |= load == time;
        }
        if is_attained { Ok(()) } else { self.falsehood("no GPU takes so long by equal shares") }
    }

    /// So many parts of a load that equal shares are whole, if that is not too many. Otherwise shares are
    /// rounded up.
    fn parts(&self) -> u128 {
        let mut parts = 1;
        for &count in self.logcnt {
            let count = count as u128;
            let (mut common, mut rest) = (count, parts);
            while rest > 0 {
                (common, rest) = (rest, common % rest);
            }
            parts *= count / common;
            if parts > MAX_EQUAL_PARTS {
                return MAX_EQUAL_PARTS;
            }
        }
        parts
    }
}
