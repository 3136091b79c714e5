use super::reference;
