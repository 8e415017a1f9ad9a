//! Given and family names that are common in Italy, for invented people. No pair is meant to be a real person.

/// Given names.
#[rustfmt::skip]
pub(crate) const GIVEN: &[&str] = &[
    "Giulia", "Marco", "Francesca", "Andrea", "Chiara", "Luca", "Sara", "Matteo", "Martina", "Alessandro", "Anna", "Davide",
    "Elena", "Francesco", "Laura", "Giuseppe", "Valentina", "Antonio", "Federica", "Lorenzo", "Silvia", "Simone", "Paola",
    "Stefano", "Alessia", "Roberto", "Giorgia", "Paolo", "Elisa", "Riccardo", "Ilaria", "Giovanni", "Maria", "Michele",
    "Roberta", "Daniele", "Claudia", "Salvatore", "Monica", "Vincenzo", "Cristina", "Fabio", "Barbara", "Nicola", "Beatrice",
    "Pietro", "Camilla", "Emanuele", "Lucia", "Filippo", "Rosa", "Gabriele", "Teresa", "Tommaso", "Caterina", "Enrico",
    "Noemi", "Massimo", "Rita", "Claudio", "Irene", "Edoardo", "Alice", "Giacomo",
];

/// Family names.
#[rustfmt::skip]
pub(crate) const FAMILY: &[&str] = &[
    "Rossi", "Russo", "Ferrari", "Esposito", "Bianchi", "Romano", "Colombo", "Ricci", "Marino", "Greco", "Bruno", "Gallo",
    "Conti", "De Luca", "Mancini", "Costa", "Giordano", "Rizzo", "Lombardi", "Moretti", "Barbieri", "Fontana", "Santoro",
    "Mariani", "Rinaldi", "Caruso", "Ferrara", "Galli", "Martini", "Leone", "Longo", "Gentile", "Martinelli", "Vitale",
    "Lombardo", "Serra", "Coppola", "De Santis", "D'Angelo", "Marchetti", "Parisi", "Villa", "Conte", "Ferraro", "Ferri",
    "Fabbri", "Bianco", "Marini", "Grasso", "Valentini", "Messina", "Sala", "De Angelis", "Gatti", "Pellegrini", "Palumbo",
    "Sanna", "Farina", "Rizzi", "Monti", "Cattaneo", "Morelli", "Amato", "Silvestri", "Mazza", "Testa", "Grassi", "Pellegrino",
    "Carbone", "Giuliani", "Benedetti", "Barone", "Rossetti", "Caputo", "Montanari", "Guerra", "Palmieri", "Bernardi",
    "Martino", "Fiore", "De Rosa", "Ferretti", "Bellini", "Basile", "Riva", "Donati", "Piras", "Vitali", "Battaglia", "Sartori",
];
