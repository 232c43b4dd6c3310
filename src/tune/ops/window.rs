//! Windows that slide over height and width: sizes, padding, and which places a window meets.

use std::ops::Range;

use super::Attributes;

/// How windows slide, as a node's attributes say it, along height and width.
#[derive(Debug, Clone)]
pub(super) struct Window {
    kernel: Option<Vec<usize>>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    rounding: Rounding,
}

#[derive(Debug, Clone)]
enum Padding {
    /// Before each axis, then behind each.
    Fixed(Vec<usize>),
    /// As much as gives one window for each stride; what is odd goes behind, or before.
    Same(Odd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    Behind,
    Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Down,
    Up,
}

/// One axis of given size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    behind: usize,
}

impl Axis {
    /// The windows whose place `k` lies inside, and where it lies in the first of these: from there on in steps of the stride.
    pub(super) fn inside(&self, k: usize) -> (Range<usize>, usize) {
        let shift = k * self.dilation;
        let low = self.before.saturating_sub(shift).div_ceil(self.stride);
        let high = (self.input + self.before).saturating_sub(shift).div_ceil(self.stride).min(self.output);
        if low >= high { (0..0, 0) } else { (low..high, low * self.stride + shift - self.before) }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn dilation(&self) -> usize {
        self.dilation
    }

    /// Places of the padding before the input.
    pub(super) fn before(&self) -> usize {
        self.before
    }

    /// Places of the input and the padding.
    pub(super) fn padded(&self) -> usize {
        self.before + self.input + self.behind
    }

    /// How many places of window `o` lie inside, or inside of the padding too.
    pub(super) fn places(&self, o: usize, padding: Counted) -> usize {
        let limit = |k: &usize| {
            let place = o * self.stride + k * self.dilation;
            match padding {
                Counted::Inside => place >= self.before && place < self.before + self.input,
                Counted::Padding => place < self.padded(),
            }
        };
        (0..self.kernel).filter(limit).count()
    }

    /// Whether windows and places are the same.
    pub(super) fn is_plain(&self) -> bool {
        (self.kernel, self.stride, self.before, self.behind) == (1, 1, 0, 0)
    }
}

/// What a mean divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Inside,
    Padding,
}

impl Window {
    pub(super) fn read(node: Attributes) -> Result<Self, String> {
        let sizes = |name: &str| {
            let size = |&v: &i64| usize::try_from(v).map_err(|_| format!("attribute {name} has {v}"));
            node.ints(name)?.map(|values| values.iter().map(size).collect::<Result<Vec<usize>, String>>()).transpose()
        };
        let padding = match node.text("auto_pad", "NOTSET")? {
            "NOTSET" => Padding::Fixed(sizes("pads")?.unwrap_or_default()),
            "VALID" => Padding::Fixed(Vec::new()),
            "SAME_UPPER" => Padding::Same(Odd::Behind),
            "SAME_LOWER" => Padding::Same(Odd::Before),
            other => return Err(format!("attribute auto_pad is {other:?}")),
        };
        let positive = |values: Option<Vec<usize>>| match values {
            Some(values) if values.contains(&0) => Err("a stride or dilation of 0".to_owned()),
            values => Ok(values.unwrap_or_default()),
        };
        Ok(Self {
            kernel: sizes("kernel_shape")?,
            strides: positive(sizes("strides")?)?,
            dilations: positive(sizes("dilations")?)?,
            padding,
            rounding: if node.int("ceil_mode", 0)? == 0 { Rounding::Down } else { Rounding::Up },
        })
    }

    /// Height and width of an input `[n, c, height, width]`, or `[n, c, width]` with a height of 1. The kernel's size is the
    /// attribute's, or else `weight`.
    pub(super) fn axes(&self, dims: &[usize], weight: Option<&[usize]>) -> Result<[Axis; 2], String> {
        let spatial = dims.get(2..).unwrap_or_default();
        let kernel = match (&self.kernel, weight) {
            (Some(kernel), Some(weight)) if kernel != weight => {
                return Err(format!("attribute kernel_shape is {kernel:?}, and the weight's {weight:?}"));
            }
            (_, Some(weight)) => weight,
            (Some(kernel), None) => kernel,
            (None, None) => return Err("it has no kernel_shape".into()),
        };
        let rank = spatial.len();
        if !(1..=2).contains(&rank) || kernel.len() != rank {
            return Err(format!("windows of {kernel:?} over {dims:?}: one or two dimensions are known here"));
        }
        let plain = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, behind: 0 };
        let mut axes = [plain; 2];
        for i in 0..rank {
            axes[2 - rank + i] = self.axis(i, rank, spatial[i], kernel[i])?;
        }
        Ok(axes)
    }

    fn axis(&self, i: usize, rank: usize, input: usize, kernel: usize) -> Result<Axis, String> {
        let stride = self.strides.get(i).copied().unwrap_or(1);
        let dilation = self.dilations.get(i).copied().unwrap_or(1);
        let extent = kernel.saturating_sub(1) * dilation + 1;
        let (before, behind) = match &self.padding {
            Padding::Fixed(pads) => (pads.get(i).copied().unwrap_or(0), pads.get(i + rank).copied().unwrap_or(0)),
            Padding::Same(odd) => {
                let all = (input.div_ceil(stride).saturating_sub(1) * stride + extent).saturating_sub(input);
                let half = all / 2;
                if *odd == Odd::Behind { (half, all - half) } else { (all - half, half) }
            }
        };
        let room = (input + before + behind)
            .checked_sub(extent)
            .filter(|_| kernel > 0)
            .ok_or_else(|| format!("a window of {extent} does not fit into {input} places"))?;
        let output = match self.rounding {
            Rounding::Down => room / stride + 1,
            // No window may begin in the padding behind.
            Rounding::Up => (room.div_ceil(stride) + 1).min((input + before).div_ceil(stride)),
        };
        Ok(Axis { input, output, kernel, stride, dilation, before, behind })
    }
}
