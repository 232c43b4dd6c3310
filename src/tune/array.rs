//! Arrays and values: what flows through a tail.

use std::sync::Arc;

/// Values in row-major order with their sizes. A copy shares the values until one of the two is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<E> {
    dims: Vec<usize>,
    values: Arc<Vec<E>>,
}

impl<E: Clone> Array<E> {
    /// Values and the sizes that they fill.
    ///
    /// # Errors
    /// When there are more or fewer values than the sizes ask for.
    pub fn new(dims: Vec<usize>, values: Vec<E>) -> Result<Self, String> {
        if count(&dims) != Some(values.len()) {
            return Err(format!("{} values do not fill {dims:?}", values.len()));
        }
        Ok(Self { dims, values: Arc::new(values) })
    }

    /// One value everywhere.
    pub(super) fn filled(dims: &[usize], value: E) -> Self {
        Self { dims: dims.to_vec(), values: Arc::new(vec![value; dims.iter().product()]) }
    }

    /// A single value, of no dimensions.
    pub fn scalar(value: E) -> Self {
        Self { dims: Vec::new(), values: Arc::new(vec![value]) }
    }

    /// A list.
    pub(super) fn list(values: Vec<E>) -> Self {
        Self { dims: vec![values.len()], values: Arc::new(values) }
    }

    /// The sizes; none for a single value.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// How many dimensions there are.
    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The values, row-major.
    pub fn values(&self) -> &[E] {
        &self.values
    }

    /// The values, to be changed; copied first where they are shared.
    pub fn values_mut(&mut self) -> &mut [E] {
        Arc::make_mut(&mut self.values).as_mut_slice()
    }

    /// The values themselves; copied where they are shared.
    pub fn into_values(self) -> Vec<E> {
        Arc::unwrap_or_clone(self.values)
    }

    /// The same values under other sizes.
    pub(super) fn reshaped(&self, dims: &[usize]) -> Result<Self, String> {
        if count(dims) != Some(self.values.len()) {
            return Err(format!("{:?} cannot be seen as {dims:?}", self.dims));
        }
        Ok(Self { dims: dims.to_vec(), values: Arc::clone(&self.values) })
    }

    /// The only value there is.
    pub(super) fn single(&self) -> Result<E, String> {
        match self.values() {
            [value] => Ok(value.clone()),
            _ => Err(format!("{:?} is not a single value", self.dims)),
        }
    }
}

/// How many values these sizes ask for.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
}

/// What a tensor of a graph is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<T> {
    /// Floats: the only values with gradients.
    Real(Array<T>),
    /// Integers, of whatever size in the graph.
    Int(Array<i64>),
    /// Truth values.
    Bool(Array<bool>),
}

impl<T: Clone> Value<T> {
    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        match self {
            Self::Real(array) => array.dims(),
            Self::Int(array) => array.dims(),
            Self::Bool(array) => array.dims(),
        }
    }

    /// The floats.
    ///
    /// # Errors
    /// When these are none.
    pub fn real(&self) -> Result<&Array<T>, String> {
        match self {
            Self::Real(array) => Ok(array),
            other => Err(format!("{} where floats are wanted", other.kind())),
        }
    }

    pub(super) fn int(&self) -> Result<&Array<i64>, String> {
        match self {
            Self::Int(array) => Ok(array),
            other => Err(format!("{} where integers are wanted", other.kind())),
        }
    }

    pub(super) fn bool(&self) -> Result<&Array<bool>, String> {
        match self {
            Self::Bool(array) => Ok(array),
            other => Err(format!("{} where truth values are wanted", other.kind())),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Real(_) => "floats",
            Self::Int(_) => "integers",
            Self::Bool(_) => "truth values",
        }
    }
}

impl<T> From<Array<T>> for Value<T> {
    fn from(array: Array<T>) -> Self {
        Self::Real(array)
    }
}

/// The same for arrays of all three kinds: `each!(value, array => expression)` is a value of that kind again.
macro_rules! each {
    ($value:expr, $array:ident => $body:expr) => {
        match $value {
            $crate::tune::array::Value::Real($array) => $crate::tune::array::Value::Real($body),
            $crate::tune::array::Value::Int($array) => $crate::tune::array::Value::Int($body),
            $crate::tune::array::Value::Bool($array) => $crate::tune::array::Value::Bool($body),
        }
    };
}
pub(super) use each;
