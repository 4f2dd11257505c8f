import{r}from"./chunk-U42I6WR5.js";function t(e){return r("/changes",e)}export{t as a};
