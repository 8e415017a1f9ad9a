//! What an Italian supermarket sells: a category tree of three levels with the Italian names, VAT rates, price bands and
//! item names its products are made of. Brands are invented.

/// How a category's products are sold and what they may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sold {
    /// By the piece.
    Piece,
    /// By weight, in kilograms, with an item code for price-embedded barcodes.
    Weight,
    /// By the piece; the law forbids or limits promoting it.
    Restricted,
}

/// A category of the lowest level and what its products are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    /// The three levels, top first.
    pub(crate) path: [&'static str; 3],
    /// VAT in hundredths of a percent.
    pub(crate) vat_basis_points: i32,
    /// Lowest and highest price of a unit, in cents.
    pub(crate) price_cents: (u32, u32),
    /// How it is sold.
    pub(crate) sold: Sold,
    /// Which brands make it: an index into [`BRANDS`].
    pub(crate) brands: usize,
    /// Item names, separated by `|`.
    pub(crate) items: &'static str,
    /// Sizes or qualities, separated by `|`.
    pub(crate) sizes: &'static str,
}

const FRESH: usize = 0;
const FOOD: usize = 1;
const DRINKS: usize = 2;
const HOME: usize = 3;
const CARE: usize = 4;
const BABY_PETS: usize = 5;

/// Invented brands, by kind of goods.
#[rustfmt::skip]
pub(crate) const BRANDS: &[&[&str]] = &[
    &["Orto Sereno", "Malga Turchina", "Cascina Lunaverde", "Rivabruna", "Pascolo Chiaro", "Il Casaro Gentile", "Norciaro", "Mare Quieto", "Campodolce", "Fattoria Tresogni", "Tillside", "Tillside Bio"],
    &["Molino Verziere", "Pastificio Solmara", "Casa Tramontella", "Gustolindo", "Dispensa Rosalba", "Serralta Alimentare", "Buonagrano", "Forno Pineta", "Terre di Velora", "Nonna Ermelinda", "Tillside", "Tillside Bio"],
    &["Fonte Alpelucis", "Cantina Rocca Vespera", "Birrificio Tarassaco", "Torrefazione Mezzalba", "Agrumeto Siriano", "Tenuta Belgirasole", "Acquachiara Montelupa", "Spremiglia", "Vigne di Ostrana", "Bollicella", "Tillside", "Tillside Bio"],
    &["Lindacasa", "Splendorino", "Brillapiù", "Candidella", "Tuttopulix", "Soffiobianco", "Cartaluna", "Casanitida", "Ecolindo", "Stovelux", "Tillside", "Tillside Eco"],
    &["Acquadiluce", "Dermalieve", "Sorrisana", "Pellefiore", "Capellidea", "Barbadolce", "Fiordicura", "Vitasol", "Igea Natura", "Benessia", "Tillside", "Tillside Eco"],
    &["Nidodoro", "Piccopasso", "Primibaci", "Codafelice", "Micioso", "Zampallegra", "Pappalinda", "Bimbiluna", "Fusaverde", "Amicofido", "Tillside", "Tillside Bio"],
];

#[expect(
    clippy::too_many_arguments,
    reason = "a row of the table below, not an interface"
)]
const fn leaf(
    top: &'static str,
    middle: &'static str,
    name: &'static str,
    vat_basis_points: i32,
    cents_min: u32,
    cents_max: u32,
    sold: Sold,
    brands: usize,
    items: &'static str,
    sizes: &'static str,
) -> Leaf {
    Leaf {
        path: [top, middle, name],
        vat_basis_points,
        price_cents: (cents_min, cents_max),
        sold,
        brands,
        items,
        sizes,
    }
}

const BULK: &str = "prima scelta|extra|bio";

/// All categories of the lowest level.
#[rustfmt::skip]
pub(crate) const LEAVES: &[Leaf] = &[
    leaf("Freschi", "Ortofrutta", "Frutta", 400, 129, 699, Sold::Weight, FRESH, "Mele Golden|Pere Abate|Arance tarocco|Banane|Uva bianca|Pesche gialle|Kiwi", BULK),
    leaf("Freschi", "Ortofrutta", "Verdura", 400, 99, 590, Sold::Weight, FRESH, "Pomodori ciliegino|Zucchine|Carote|Patate gialle|Melanzane|Finocchi|Cipolle dorate", BULK),
    leaf("Freschi", "Ortofrutta", "Insalate pronte", 400, 119, 349, Sold::Piece, FRESH, "Rucola|Valeriana|Misticanza|Spinacino|Iceberg", "100 g|125 g|200 g"),
    leaf("Freschi", "Ortofrutta", "Erbe aromatiche", 500, 99, 249, Sold::Piece, FRESH, "Basilico|Rosmarino|Salvia|Prezzemolo|Menta", "vaso|mazzetto|30 g"),
    leaf("Freschi", "Ortofrutta", "Funghi e tartufi", 500, 199, 1290, Sold::Piece, FRESH, "Champignon|Pleurotus|Porcini|Tartufo estivo", "150 g|250 g|40 g"),
    leaf("Freschi", "Macelleria", "Bovino", 1000, 890, 2990, Sold::Weight, FRESH, "Fettine di scottona|Macinato scelto|Bistecca|Spezzatino|Arrosto", BULK),
    leaf("Freschi", "Macelleria", "Suino", 1000, 590, 1490, Sold::Weight, FRESH, "Lonza|Salsiccia|Costine|Braciole|Filetto", BULK),
    leaf("Freschi", "Macelleria", "Pollame", 1000, 490, 1390, Sold::Weight, FRESH, "Petto di pollo|Cosce di pollo|Fesa di tacchino|Pollo intero|Alette", BULK),
    leaf("Freschi", "Pescheria", "Pesce fresco", 1000, 890, 3490, Sold::Weight, FRESH, "Orata|Branzino|Salmone|Alici|Calamari|Cozze", BULK),
    leaf("Freschi", "Pescheria", "Pesce affumicato", 1000, 299, 1190, Sold::Piece, FRESH, "Salmone affumicato|Tonno affumicato|Pesce spada affumicato", "100 g|150 g|200 g"),
    leaf("Freschi", "Salumeria", "Salumi al banco", 1000, 990, 3690, Sold::Weight, FRESH, "Prosciutto crudo|Prosciutto cotto|Mortadella|Salame|Bresaola|Speck", BULK),
    leaf("Freschi", "Salumeria", "Salumi in vaschetta", 1000, 179, 599, Sold::Piece, FRESH, "Prosciutto cotto|Prosciutto crudo|Bresaola|Speck|Salame|Tacchino arrosto", "90 g|120 g|150 g"),
    leaf("Freschi", "Formaggi", "Formaggi al banco", 400, 990, 2790, Sold::Weight, FRESH, "Grana stagionato|Pecorino|Provolone|Gorgonzola|Fontal|Asiago", BULK),
    leaf("Freschi", "Formaggi", "Mozzarelle", 400, 109, 499, Sold::Piece, FRESH, "Mozzarella|Mozzarella di bufala|Bocconcini|Burrata|Scamorza", "125 g|250 g|3x100 g"),
    leaf("Freschi", "Formaggi", "Formaggi spalmabili", 400, 129, 349, Sold::Piece, FRESH, "Crescenza|Robiola|Formaggio fresco|Mascarpone|Ricotta", "150 g|200 g|250 g"),
    leaf("Freschi", "Latticini e uova", "Latte fresco", 400, 109, 219, Sold::Piece, FRESH, "Latte intero|Latte parzialmente scremato|Latte scremato|Latte senza lattosio", "500 ml|1 l|1,5 l"),
    leaf("Freschi", "Latticini e uova", "Yogurt", 1000, 59, 449, Sold::Piece, FRESH, "Yogurt bianco|Yogurt greco|Yogurt alla fragola|Yogurt ai mirtilli|Kefir|Yogurt alla vaniglia", "125 g|2x125 g|500 g"),
    leaf("Freschi", "Latticini e uova", "Burro", 400, 189, 459, Sold::Piece, FRESH, "Burro|Burro salato|Burro di malga", "125 g|250 g|500 g"),
    leaf("Freschi", "Latticini e uova", "Uova", 1000, 179, 499, Sold::Piece, FRESH, "Uova da allevamento a terra|Uova all'aperto|Uova grandi", "4 pezzi|6 pezzi|10 pezzi"),
    leaf("Freschi", "Gastronomia", "Pasta fresca", 400, 199, 549, Sold::Piece, FRESH, "Tortellini|Ravioli ricotta e spinaci|Gnocchi|Tagliatelle|Lasagne", "250 g|500 g|400 g"),
    leaf("Freschi", "Gastronomia", "Piatti pronti", 1000, 299, 799, Sold::Piece, FRESH, "Lasagne alla bolognese|Parmigiana|Insalata di riso|Vitello tonnato|Cous cous", "250 g|350 g|600 g"),
    leaf("Freschi", "Panetteria", "Pane", 400, 290, 590, Sold::Weight, FRESH, "Pane casereccio|Ciabatta|Pane integrale|Rosette|Filone", BULK),
    leaf("Freschi", "Panetteria", "Focacce e pizze", 1000, 790, 1490, Sold::Weight, FRESH, "Focaccia|Pizza rossa|Pizza bianca|Schiacciata", BULK),
    leaf("Dispensa", "Pasta e riso", "Pasta secca", 400, 69, 329, Sold::Piece, FOOD, "Spaghetti|Penne rigate|Fusilli|Rigatoni|Linguine|Farfalle|Orecchiette", "500 g|1 kg|400 g"),
    leaf("Dispensa", "Pasta e riso", "Pasta integrale", 400, 99, 349, Sold::Piece, FOOD, "Spaghetti integrali|Penne integrali|Fusilli di farro|Pasta di lenticchie", "500 g|400 g|250 g"),
    leaf("Dispensa", "Pasta e riso", "Riso", 400, 199, 599, Sold::Piece, FOOD, "Riso carnaroli|Riso arborio|Riso basmati|Riso parboiled|Riso integrale", "500 g|1 kg|2 kg"),
    leaf("Dispensa", "Conserve", "Passate e pelati", 400, 79, 299, Sold::Piece, FOOD, "Passata di pomodoro|Pelati|Polpa fine|Datterini", "400 g|700 g|3x400 g"),
    leaf("Dispensa", "Conserve", "Legumi", 400, 69, 249, Sold::Piece, FOOD, "Ceci|Fagioli borlotti|Lenticchie|Cannellini|Piselli", "240 g|400 g|3x240 g"),
    leaf("Dispensa", "Conserve", "Tonno", 1000, 199, 1190, Sold::Piece, FOOD, "Tonno all'olio|Tonno al naturale|Filetti di tonno|Sgombro", "2x80 g|4x80 g|160 g"),
    leaf("Dispensa", "Conserve", "Sottoli e olive", 1000, 189, 599, Sold::Piece, FOOD, "Olive verdi|Olive taggiasche|Carciofini|Pomodori secchi|Capperi", "180 g|280 g|400 g"),
    leaf("Dispensa", "Condimenti", "Olio di oliva", 400, 590, 1890, Sold::Piece, FOOD, "Olio extravergine|Olio extravergine 100% italiano|Olio di oliva", "500 ml|750 ml|1 l"),
    leaf("Dispensa", "Condimenti", "Aceto", 1000, 99, 899, Sold::Piece, FOOD, "Aceto di vino|Aceto balsamico|Aceto di mele", "250 ml|500 ml|1 l"),
    leaf("Dispensa", "Condimenti", "Sughi pronti", 1000, 149, 449, Sold::Piece, FOOD, "Pesto alla genovese|Ragù alla bolognese|Sugo al basilico|Sugo all'arrabbiata", "190 g|350 g|400 g"),
    leaf("Dispensa", "Condimenti", "Salse", 1000, 129, 399, Sold::Piece, FOOD, "Maionese|Ketchup|Senape|Salsa barbecue", "200 ml|300 ml|500 ml"),
    leaf("Dispensa", "Condimenti", "Spezie e sale", 1000, 49, 399, Sold::Piece, FOOD, "Sale fino|Pepe nero|Origano|Peperoncino|Curcuma", "40 g|80 g|1 kg"),
    leaf("Dispensa", "Farine e zucchero", "Farine", 400, 79, 299, Sold::Piece, FOOD, "Farina 00|Farina integrale|Semola rimacinata|Farina di mais", "500 g|1 kg|5 kg"),
    leaf("Dispensa", "Farine e zucchero", "Zucchero", 1000, 99, 349, Sold::Piece, FOOD, "Zucchero semolato|Zucchero di canna|Zucchero a velo", "500 g|1 kg|750 g"),
    leaf("Dispensa", "Farine e zucchero", "Preparati per dolci", 1000, 99, 449, Sold::Piece, FOOD, "Lievito per dolci|Vanillina|Torta margherita|Budino al cioccolato", "3 bustine|6 bustine|400 g"),
    leaf("Dispensa", "Colazione", "Biscotti", 1000, 129, 459, Sold::Piece, FOOD, "Frollini|Biscotti integrali|Novellini|Biscotti al cacao|Savoiardi|Cantucci", "250 g|350 g|700 g"),
    leaf("Dispensa", "Colazione", "Cereali", 1000, 199, 549, Sold::Piece, FOOD, "Corn flakes|Muesli|Fiocchi d'avena|Riso soffiato al cacao", "300 g|375 g|500 g"),
    leaf("Dispensa", "Colazione", "Fette biscottate", 400, 109, 299, Sold::Piece, FOOD, "Fette biscottate|Fette integrali|Fette ai cereali", "315 g|400 g|630 g"),
    leaf("Dispensa", "Colazione", "Marmellate e miele", 1000, 189, 749, Sold::Piece, FOOD, "Confettura di albicocche|Confettura di fragole|Marmellata di arance|Miele di acacia|Miele millefiori", "250 g|340 g|500 g"),
    leaf("Dispensa", "Colazione", "Creme spalmabili", 1000, 249, 699, Sold::Piece, FOOD, "Crema alle nocciole|Crema al pistacchio|Burro di arachidi", "200 g|350 g|600 g"),
    leaf("Dispensa", "Colazione", "Merendine", 1000, 179, 449, Sold::Piece, FOOD, "Plumcake|Croissant|Crostatine|Tortine alla carota|Pan di latte", "6 pezzi|8 pezzi|10 pezzi"),
    leaf("Dispensa", "Snack e dolci", "Cioccolato", 1000, 129, 549, Sold::Piece, FOOD, "Cioccolato fondente|Cioccolato al latte|Gianduia|Cioccolato bianco", "80 g|100 g|200 g"),
    leaf("Dispensa", "Snack e dolci", "Caramelle", 1000, 99, 399, Sold::Piece, FOOD, "Caramelle alla frutta|Liquirizia|Gommose|Mentine", "80 g|150 g|250 g"),
    leaf("Dispensa", "Snack e dolci", "Patatine e salatini", 1000, 129, 379, Sold::Piece, FOOD, "Patatine classiche|Patatine rustiche|Taralli|Crackers|Grissini", "150 g|200 g|300 g"),
    leaf("Dispensa", "Snack e dolci", "Frutta secca", 1000, 249, 899, Sold::Piece, FOOD, "Mandorle|Noci|Nocciole|Pistacchi|Anacardi|Uvetta", "100 g|200 g|400 g"),
    leaf("Dispensa", "Cucina dal mondo", "Etnico", 1000, 149, 599, Sold::Piece, FOOD, "Salsa di soia|Noodles|Latte di cocco|Tortillas|Curry", "150 ml|250 g|400 g"),
    leaf("Dispensa", "Senza glutine", "Pasta e pane senza glutine", 400, 229, 599, Sold::Piece, FOOD, "Penne senza glutine|Pane in cassetta senza glutine|Crackers senza glutine", "200 g|300 g|400 g"),
    leaf("Surgelati", "Verdure surgelate", "Verdure", 1000, 149, 449, Sold::Piece, FRESH, "Piselli fini|Spinaci a cubetti|Minestrone|Fagiolini|Patate fritte", "450 g|750 g|1 kg"),
    leaf("Surgelati", "Pesce surgelato", "Pesce", 1000, 399, 1290, Sold::Piece, FRESH, "Bastoncini|Filetti di merluzzo|Gamberi|Seppie|Misto scoglio", "300 g|400 g|750 g"),
    leaf("Surgelati", "Pizze e piatti", "Pizze surgelate", 1000, 249, 599, Sold::Piece, FRESH, "Pizza margherita|Pizza 4 stagioni|Pizza alle verdure|Pinsa", "1 pezzo|2 pezzi|3 pezzi"),
    leaf("Surgelati", "Gelati", "Gelati", 1000, 249, 649, Sold::Piece, FRESH, "Gelato alla vaniglia|Gelato al cioccolato|Coni|Ghiaccioli|Sorbetto al limone", "4 pezzi|6 pezzi|500 g"),
    leaf("Bevande", "Acqua", "Acqua naturale", 2200, 29, 89, Sold::Piece, DRINKS, "Acqua naturale|Acqua minimamente mineralizzata", "500 ml|1 l|1,5 l"),
    leaf("Bevande", "Acqua", "Acqua frizzante", 2200, 29, 99, Sold::Piece, DRINKS, "Acqua frizzante|Acqua leggermente frizzante|Acqua effervescente", "500 ml|1 l|1,5 l"),
    leaf("Bevande", "Bibite", "Bibite gassate", 2200, 89, 259, Sold::Piece, DRINKS, "Cola|Aranciata|Limonata|Chinotto|Tonica|Gazzosa", "330 ml|1 l|1,5 l"),
    leaf("Bevande", "Bibite", "Tè freddo", 2200, 89, 229, Sold::Piece, DRINKS, "Tè al limone|Tè alla pesca|Tè verde", "500 ml|1 l|1,5 l"),
    leaf("Bevande", "Succhi", "Succhi di frutta", 2200, 119, 349, Sold::Piece, DRINKS, "Succo d'arancia|Succo ACE|Nettare di pera|Succo di mela|Nettare di pesca", "3x200 ml|750 ml|1 l"),
    leaf("Bevande", "Bevande vegetali", "Bevande vegetali", 2200, 139, 329, Sold::Piece, DRINKS, "Bevanda di soia|Bevanda di avena|Bevanda di mandorla|Bevanda di riso", "500 ml|1 l|6x1 l"),
    leaf("Bevande", "Caffè e tè", "Caffè macinato", 2200, 249, 899, Sold::Piece, DRINKS, "Caffè per moka|Caffè 100% arabica|Caffè decaffeinato|Caffè per espresso", "250 g|2x250 g|500 g"),
    leaf("Bevande", "Caffè e tè", "Capsule", 2200, 249, 1290, Sold::Piece, DRINKS, "Capsule intenso|Capsule arabica|Capsule decaffeinato|Cialde", "10 pezzi|30 pezzi|50 pezzi"),
    leaf("Bevande", "Caffè e tè", "Tè e infusi", 1000, 179, 499, Sold::Piece, DRINKS, "Tè nero|Tè verde|Camomilla|Tisana al finocchio|Infuso ai frutti rossi", "20 filtri|25 filtri|50 filtri"),
    leaf("Bevande", "Vino", "Vini rossi", 2200, 299, 1890, Sold::Piece, DRINKS, "Chianti|Montepulciano|Barbera|Nero d'Avola|Primitivo|Lambrusco", "375 ml|750 ml|1,5 l"),
    leaf("Bevande", "Vino", "Vini bianchi", 2200, 299, 1690, Sold::Piece, DRINKS, "Vermentino|Pinot grigio|Falanghina|Soave|Traminer", "375 ml|750 ml|1,5 l"),
    leaf("Bevande", "Vino", "Spumanti", 2200, 490, 2490, Sold::Piece, DRINKS, "Prosecco|Spumante brut|Moscato|Metodo classico", "200 ml|750 ml|1,5 l"),
    leaf("Bevande", "Birra", "Birre", 2200, 89, 499, Sold::Piece, DRINKS, "Birra lager|Birra rossa|Birra weiss|Birra analcolica|IPA", "330 ml|3x330 ml|660 ml"),
    leaf("Bevande", "Liquori", "Liquori e aperitivi", 2200, 690, 2490, Sold::Piece, DRINKS, "Amaro|Limoncello|Grappa|Vermouth|Bitter", "500 ml|700 ml|1 l"),
    leaf("Casa", "Bucato", "Detersivi bucato", 2200, 299, 1290, Sold::Piece, HOME, "Detersivo liquido|Detersivo capi delicati|Detersivo in capsule|Detersivo in polvere", "25 lavaggi|40 lavaggi|60 lavaggi"),
    leaf("Casa", "Bucato", "Ammorbidenti", 2200, 149, 499, Sold::Piece, HOME, "Ammorbidente classico|Ammorbidente lavanda|Ammorbidente sensibile", "750 ml|1 l|2 l"),
    leaf("Casa", "Stoviglie", "Detersivi piatti", 2200, 99, 349, Sold::Piece, HOME, "Piatti limone|Piatti aceto|Piatti concentrato", "500 ml|750 ml|1 l"),
    leaf("Casa", "Stoviglie", "Lavastoviglie", 2200, 299, 1290, Sold::Piece, HOME, "Pastiglie|Gel|Brillantante|Sale per lavastoviglie", "20 pezzi|40 pezzi|60 pezzi"),
    leaf("Casa", "Pulizia", "Detergenti superfici", 2200, 129, 449, Sold::Piece, HOME, "Sgrassatore|Anticalcare|Pavimenti|Vetri|Candeggina", "500 ml|750 ml|1 l"),
    leaf("Casa", "Pulizia", "Spugne e panni", 2200, 99, 499, Sold::Piece, HOME, "Spugne|Panni in microfibra|Guanti|Sacchi per rifiuti", "2 pezzi|5 pezzi|20 pezzi"),
    leaf("Casa", "Carta", "Carta igienica", 2200, 199, 799, Sold::Piece, HOME, "Carta igienica|Carta igienica 3 veli|Carta igienica riciclata", "4 rotoli|8 rotoli|12 rotoli"),
    leaf("Casa", "Carta", "Carta da cucina", 2200, 129, 499, Sold::Piece, HOME, "Asciugatutto|Asciugatutto riciclato|Tovaglioli|Fazzoletti", "2 rotoli|4 rotoli|6 rotoli"),
    leaf("Casa", "Cucina", "Pellicole e carta forno", 2200, 109, 399, Sold::Piece, HOME, "Alluminio|Pellicola|Carta forno|Sacchetti gelo", "10 m|20 m|30 m"),
    leaf("Casa", "Cucina", "Utensili", 2200, 299, 2490, Sold::Piece, HOME, "Padella antiaderente|Tagliere|Mestolo|Caffettiera|Contenitore", "piccolo|medio|grande"),
    leaf("Casa", "Illuminazione", "Lampadine e pile", 2200, 249, 1190, Sold::Piece, HOME, "Lampadina LED|Pile stilo|Pile ministilo|Lampadina a goccia", "2 pezzi|4 pezzi|8 pezzi"),
    leaf("Persona", "Igiene", "Saponi e bagnoschiuma", 2200, 129, 449, Sold::Piece, CARE, "Bagnoschiuma|Sapone liquido|Saponetta|Doccia gel", "250 ml|500 ml|750 ml"),
    leaf("Persona", "Igiene", "Igiene orale", 2200, 149, 599, Sold::Piece, CARE, "Dentifricio|Spazzolino|Collutorio|Filo interdentale", "1 pezzo|75 ml|2 pezzi"),
    leaf("Persona", "Igiene", "Deodoranti", 2200, 199, 499, Sold::Piece, CARE, "Deodorante spray|Deodorante roll-on|Deodorante stick", "50 ml|75 ml|150 ml"),
    leaf("Persona", "Igiene", "Assorbenti", 1000, 149, 499, Sold::Piece, CARE, "Assorbenti giorno|Assorbenti notte|Salvaslip", "10 pezzi|14 pezzi|30 pezzi"),
    leaf("Persona", "Capelli", "Shampoo", 2200, 199, 549, Sold::Piece, CARE, "Shampoo delicato|Shampoo antiforfora|Shampoo nutriente|Shampoo camomilla", "250 ml|400 ml|500 ml"),
    leaf("Persona", "Capelli", "Balsami e maschere", 2200, 249, 699, Sold::Piece, CARE, "Balsamo|Maschera nutriente|Spray districante", "200 ml|250 ml|300 ml"),
    leaf("Persona", "Viso e corpo", "Creme", 2200, 299, 1890, Sold::Piece, CARE, "Crema viso|Crema mani|Crema corpo|Crema solare", "50 ml|75 ml|200 ml"),
    leaf("Persona", "Viso e corpo", "Rasatura", 2200, 249, 1490, Sold::Piece, CARE, "Schiuma da barba|Lame di ricambio|Rasoi usa e getta|Dopobarba", "4 pezzi|100 ml|300 ml"),
    leaf("Persona", "Salute", "Integratori", 1000, 499, 1590, Sold::Piece, CARE, "Magnesio e potassio|Vitamina C|Multivitaminico|Fermenti lattici", "20 bustine|30 compresse|60 compresse"),
    leaf("Persona", "Salute", "Farmaci da banco", 1000, 399, 1290, Sold::Restricted, CARE, "Antidolorifico|Sciroppo per la tosse|Collirio|Antiacido", "10 compresse|20 compresse|150 ml"),
    leaf("Infanzia", "Alimentazione", "Latte per lattanti", 1000, 999, 2690, Sold::Restricted, BABY_PETS, "Latte per lattanti 1|Latte per lattanti 1 liquido|Latte per lattanti HA", "500 ml|400 g|800 g"),
    leaf("Infanzia", "Alimentazione", "Omogeneizzati", 1000, 149, 449, Sold::Piece, BABY_PETS, "Omogeneizzato mela|Omogeneizzato manzo|Omogeneizzato merluzzo|Pastina", "2x80 g|2x120 g|340 g"),
    leaf("Infanzia", "Igiene del bimbo", "Pannolini", 2200, 499, 1990, Sold::Piece, BABY_PETS, "Pannolini taglia 3|Pannolini taglia 4|Pannolini taglia 5|Salviettine", "18 pezzi|30 pezzi|60 pezzi"),
    leaf("Animali", "Gatto", "Cibo per gatti", 2200, 59, 899, Sold::Piece, BABY_PETS, "Bocconcini al salmone|Crocchette al pollo|Mousse al manzo|Lettiera", "85 g|400 g|2 kg"),
    leaf("Animali", "Cane", "Cibo per cani", 2200, 99, 1490, Sold::Piece, BABY_PETS, "Crocchette al manzo|Patè al pollo|Snack dentali|Bocconi all'agnello", "400 g|1,5 kg|3 kg"),
    leaf("Edicola e tabacchi", "Tabacchi", "Sigarette", 2200, 490, 690, Sold::Restricted, CARE, "Sigarette rosse|Sigarette blu|Tabacco trinciato", "10 pezzi|20 pezzi|30 g"),
    leaf("Edicola e tabacchi", "Cartoleria", "Cartoleria", 2200, 99, 799, Sold::Piece, HOME, "Quaderno a righe|Penne a sfera|Colla stick|Biglietto d'auguri", "1 pezzo|3 pezzi|5 pezzi"),
];
