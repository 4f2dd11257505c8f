import{r}from"./chunk-QOUM3XK2.js";function t(e){return r("/changes",e)}export{t as a};
