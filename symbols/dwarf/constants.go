package dwarf

// Tag is what an entry describes (DW_TAG_*, DWARF 5 section 7.5.3).
type Tag uint32

// The tags that kernels have.
const (
	TagArrayType           Tag = 0x01
	TagClassType           Tag = 0x02
	TagEnumerationType     Tag = 0x04
	TagFormalParameter     Tag = 0x05
	TagLabel               Tag = 0x0a
	TagLexicalBlock        Tag = 0x0b
	TagMember              Tag = 0x0d
	TagPointerType         Tag = 0x0f
	TagReferenceType       Tag = 0x10
	TagCompileUnit         Tag = 0x11
	TagStructureType       Tag = 0x13
	TagSubroutineType      Tag = 0x15
	TagTypedef             Tag = 0x16
	TagUnionType           Tag = 0x17
	TagUnspecifiedParams   Tag = 0x18
	TagVariant             Tag = 0x19
	TagInheritance         Tag = 0x1c
	TagInlinedSubroutine   Tag = 0x1d
	TagModule              Tag = 0x1e
	TagSubrangeType        Tag = 0x21
	TagBaseType            Tag = 0x24
	TagConstType           Tag = 0x26
	TagEnumerator          Tag = 0x28
	TagSubprogram          Tag = 0x2e
	TagTemplateTypeParam   Tag = 0x2f
	TagTemplateValueParam  Tag = 0x30
	TagVariantPart         Tag = 0x33
	TagVariable            Tag = 0x34
	TagVolatileType        Tag = 0x35
	TagRestrictType        Tag = 0x37
	TagNamespace           Tag = 0x39
	TagImportedUnit        Tag = 0x3d
	TagPartialUnit         Tag = 0x3c
	TagUnspecifiedType     Tag = 0x3b
	TagRvalueReferenceType Tag = 0x42
	TagAtomicType          Tag = 0x47
	TagCallSite            Tag = 0x48
	TagCallSiteParameter   Tag = 0x49
	TagSkeletonUnit        Tag = 0x4a
	TagGNUCallSite         Tag = 0x4109
	TagGNUCallSiteParam    Tag = 0x410a
)

// Attr is a property of an entry (DW_AT_*, DWARF 5 section 7.5.4).
type Attr uint32

// The attributes that kernels have.
const (
	AttrSibling        Attr = 0x01
	AttrLocation       Attr = 0x02
	AttrName           Attr = 0x03
	AttrByteSize       Attr = 0x0b
	AttrBitOffset      Attr = 0x0c
	AttrBitSize        Attr = 0x0d
	AttrStmtList       Attr = 0x10
	AttrLowPC          Attr = 0x11
	AttrHighPC         Attr = 0x12
	AttrLanguage       Attr = 0x13
	AttrDiscrValue     Attr = 0x16
	AttrCompDir        Attr = 0x1b
	AttrConstValue     Attr = 0x1c
	AttrInline         Attr = 0x20
	AttrLowerBound     Attr = 0x22
	AttrProducer       Attr = 0x25
	AttrPrototyped     Attr = 0x27
	AttrUpperBound     Attr = 0x2f
	AttrAbstractOrigin Attr = 0x31
	AttrAccessibility  Attr = 0x32
	AttrArtificial     Attr = 0x34
	AttrCount          Attr = 0x37
	AttrDataMemberLoc  Attr = 0x38
	AttrDeclColumn     Attr = 0x39
	AttrDeclFile       Attr = 0x3a
	AttrDeclLine       Attr = 0x3b
	AttrDeclaration    Attr = 0x3c
	AttrEncoding       Attr = 0x3e
	AttrExternal       Attr = 0x3f
	AttrFrameBase      Attr = 0x40
	AttrSpecification  Attr = 0x47
	AttrType           Attr = 0x49
	AttrEntryPC        Attr = 0x52
	AttrRanges         Attr = 0x55
	AttrCallColumn     Attr = 0x57
	AttrCallFile       Attr = 0x58
	AttrCallLine       Attr = 0x59
	AttrBinaryScale    Attr = 0x5b
	AttrSignature      Attr = 0x69
	AttrDataBitOffset  Attr = 0x6b
	AttrLinkageName    Attr = 0x6e
	AttrStrOffsetsBase Attr = 0x72
	AttrAddrBase       Attr = 0x73
	AttrRnglistsBase   Attr = 0x74
	AttrDwoName        Attr = 0x76
	AttrCallAllCalls   Attr = 0x7a
	AttrCallValue      Attr = 0x7e
	AttrCallOrigin     Attr = 0x7f
	AttrCallParameter  Attr = 0x80
	AttrCallReturnPC   Attr = 0x7d
	AttrCallTarget     Attr = 0x83
	AttrNoreturn       Attr = 0x87
	AttrAlignment      Attr = 0x88
	AttrLoclistsBase   Attr = 0x8c
	AttrGNUCallValue   Attr = 0x2111
	AttrGNUCallTarget  Attr = 0x2113
	AttrGNUDwoName     Attr = 0x2130
	AttrGNUDwoID       Attr = 0x2131
	AttrGNURangesBase  Attr = 0x2132
	AttrGNUAddrBase    Attr = 0x2133
)

// Form is how a value is written (DW_FORM_*, DWARF 5 section 7.5.6).
type Form uint32

// The forms.
const (
	FormAddr          Form = 0x01
	FormBlock2        Form = 0x03
	FormBlock4        Form = 0x04
	FormData2         Form = 0x05
	FormData4         Form = 0x06
	FormData8         Form = 0x07
	FormString        Form = 0x08
	FormBlock         Form = 0x09
	FormBlock1        Form = 0x0a
	FormData1         Form = 0x0b
	FormFlag          Form = 0x0c
	FormSdata         Form = 0x0d
	FormStrp          Form = 0x0e
	FormUdata         Form = 0x0f
	FormRefAddr       Form = 0x10
	FormRef1          Form = 0x11
	FormRef2          Form = 0x12
	FormRef4          Form = 0x13
	FormRef8          Form = 0x14
	FormRefUdata      Form = 0x15
	FormIndirect      Form = 0x16
	FormSecOffset     Form = 0x17
	FormExprloc       Form = 0x18
	FormFlagPresent   Form = 0x19
	FormStrx          Form = 0x1a
	FormAddrx         Form = 0x1b
	FormRefSup4       Form = 0x1c
	FormStrpSup       Form = 0x1d
	FormData16        Form = 0x1e
	FormLineStrp      Form = 0x1f
	FormRefSig8       Form = 0x20
	FormImplicitConst Form = 0x21
	FormLoclistx      Form = 0x22
	FormRnglistx      Form = 0x23
	FormRefSup8       Form = 0x24
	FormStrx1         Form = 0x25
	FormStrx2         Form = 0x26
	FormStrx3         Form = 0x27
	FormStrx4         Form = 0x28
	FormAddrx1        Form = 0x29
	FormAddrx2        Form = 0x2a
	FormAddrx3        Form = 0x2b
	FormAddrx4        Form = 0x2c
	FormGNUAddrIndex  Form = 0x1f01
	FormGNUStrIndex   Form = 0x1f02
	FormGNURefAlt     Form = 0x1f20
	FormGNUStrpAlt    Form = 0x1f21
)

// The kinds of units of DWARF 5 (DW_UT_*, section 7.5.1).
const (
	unitCompile      = 1
	unitType         = 2
	unitPartial      = 3
	unitSkeleton     = 4
	unitSplitCompile = 5
	unitSplitType    = 6
)
